// The page of a study: values under the pointer, groups shown alone, everything open on paper.
(() => {
  const told = (plot, text, share) => {
    const readout = plot.querySelector(".readout");
    readout.replaceChildren(...text.split("\n").map((line) => make("div", "", line)));
    readout.hidden = !text;
    readout.style.left = share > 0.5 ? "0" : "auto";
    readout.style.right = share > 0.5 ? "auto" : "0";
  };
  const place = (svg, event) => {
    const box = svg.getBoundingClientRect();
    const { width, height } = svg.viewBox.baseVal;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const follow = (svg, say) => {
    const plot = svg.closest(".plot");
    const read = (event) => {
      const at = place(svg, event);
      told(plot, say(at, event) ?? "", at[0] / svg.viewBox.baseVal.width);
    };
    svg.addEventListener("pointermove", read);
    svg.addEventListener("pointerdown", read);
    svg.addEventListener("pointerleave", () => told(plot, "", 0));
  };

  for (const svg of document.querySelectorAll("svg.histogram, svg.bars-chart")) {
    follow(svg, (at, event) => event.target.closest("[data-tip]")?.dataset.tip);
  }

  for (const [name, tips] of Object.entries(held)) {
    const svg = document.getElementById(name).querySelector("svg.chart");
    if (tips.heat) {
      const [left, top, wide, tall] = tips.box;
      follow(svg, ([x, y]) => {
        const [i, j] = [Math.floor((y - top) / tall), Math.floor((x - left) / wide)];
        const value = tips.heat[i]?.[j];
        return value === undefined ? "" : `${tips.rows[i]} → ${tips.columns[j]}\n${value || "–"}`;
      });
    }
    if (tips.points) {
      const spots = [];
      for (const path of svg.querySelectorAll("path[data-series]")) {
        const series = Number(path.dataset.series);
        [...path.getAttribute("d").matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)].forEach((found, i) => {
          const name = tips.points[series][i] ?? "";
          const said = [name, tips.labels?.length > 1 ? tips.labels[series] : ""].filter(Boolean).join("\n");
          spots.push({ x: Number(found[1]), y: Number(found[2]), path, said });
        });
      }
      const reach = svg.viewBox.baseVal.width / 32;
      follow(svg, ([x, y]) => {
        let [best, least] = ["", reach];
        for (const spot of spots) {
          const far = Math.hypot(spot.x - x, spot.y - y);
          if (far < least && !spot.path.closest(".away")) [best, least] = [spot.said, far];
        }
        return best;
      });
    }
  }

  for (const legend of document.querySelectorAll(".chooses")) {
    const around = legend.closest(".shared")?.parentNode ?? legend.closest("figure");
    legend.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const on = button.getAttribute("aria-pressed") !== "true";
      for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", on && other === button);
      for (const mark of around.querySelectorAll("svg.chart [data-series]")) {
        mark.classList.toggle("away", on && mark.dataset.series !== button.dataset.series);
      }
    });
  }

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
