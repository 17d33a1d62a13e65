// The page of one run: its matrix, its map.
(() => {
  // ---------------------------------------------------------------- the confusion matrix, read aloud

  const told = document.getElementById("cell");
  const say = (was, guess, count, total) => {
    const share = total ? ` (${((100 * count) / total).toFixed(1)} %)` : "";
    const what = was === guess ? `${was} recognised` : `${was} taken for ${guess}`;
    told.textContent = `${what}: ${count} of ${total}${share}`;
  };
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  const matrix = document.querySelector("table.matrix");
  if (matrix) {
    const read = (event) => {
      const cell = event.target.closest("tbody td");
      if (!cell) return;
      matrix.querySelector(".hit")?.classList.remove("hit");
      cell.classList.add("hit");
      const row = [...cell.parentNode.querySelectorAll("td")];
      const names = [...matrix.querySelectorAll("tbody th")].map((th) => th.textContent);
      const total = sum(row.map((td) => Number(td.textContent)));
      say(names[cell.parentNode.rowIndex - 1], names[row.indexOf(cell)], Number(cell.textContent), total);
    };
    matrix.addEventListener("pointerover", read);
    matrix.addEventListener("pointerdown", read);
  }

  const heat = document.getElementById("heat");
  if (heat) {
    const counts = held.matrix;
    const n = counts.length;
    const totals = counts.map(sum);
    const paint = () => {
      const side = heat.parentNode.clientWidth;
      const ratio = window.devicePixelRatio || 1;
      heat.width = heat.height = Math.round(side * ratio);
      heat.style.height = side + "px";
      const pen = heat.getContext("2d");
      const style = getComputedStyle(document.documentElement);
      const [wash, right, wrong] = ["--wash", "--right", "--wrong"].map((name) => style.getPropertyValue(name));
      const edge = (k) => Math.round((k * heat.width) / n);
      pen.fillStyle = wash;
      pen.fillRect(0, 0, heat.width, heat.width);
      counts.forEach((row, i) => row.forEach((count, j) => {
        if (!count) return;
        // Mistakes are rare, so the shade follows the root of the share.
        pen.fillStyle = `rgba(${i === j ? right : wrong}, ${Math.max(0.12, Math.sqrt(count / totals[i])).toFixed(3)})`;
        pen.fillRect(edge(j), edge(i), edge(j + 1) - edge(j), edge(i + 1) - edge(i));
      }));
    };
    const read = (event) => {
      const box = heat.getBoundingClientRect();
      const [i, j] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]
        .map((at) => clamp(Math.floor(at * n), 0, n - 1));
      say(held.classes[i] ?? String(i), held.classes[j] ?? String(j), counts[i][j], totals[i]);
    };
    heat.addEventListener("pointermove", read);
    heat.addEventListener("pointerdown", read);
    dark.addEventListener("change", paint);
    new ResizeObserver(paint).observe(heat.parentNode);
    paint();
  }

  const map = document.querySelector(".map");
  if (map && held.map) openMap(map, held, document.querySelector(".controls"));
})();
