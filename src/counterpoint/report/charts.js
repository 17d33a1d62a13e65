// The values of a chart under the pointer.
(() => {
  const number = (value, percent) => {
    if (percent) return (100 * value).toFixed(1) + " %";
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e6)) return minus(value.toExponential(1));
    return minus(Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 }));
  };
  const axis = (text, start, stop) => {
    const [kind, low, high, percent] = text.split(",");
    const ends = kind === "log" ? [Math.log10(low), Math.log10(high)] : [Number(low), Number(high)];
    return {
      percent: percent === "percent",
      value: (at) => {
        const v = ends[0] + ((at - start) / (stop - start)) * (ends[1] - ends[0]);
        return kind === "log" ? 10 ** v : v;
      },
    };
  };
  for (const svg of document.querySelectorAll("svg.chart[data-box]")) {
    const [left, top, right, bottom] = svg.dataset.box.split(",").map(Number);
    const x = axis(svg.dataset.x, left, right);
    const y = axis(svg.dataset.y, bottom, top);
    const lines = [...svg.querySelectorAll("polyline[data-label]")].map((line) => ({
      label: line.dataset.label,
      style: line.getAttribute("class"),
      points: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)),
    }));
    const readout = svg.parentNode.querySelector(".readout");
    const space = "http://www.w3.org/2000/svg";
    const cursor = svg.appendChild(document.createElementNS(space, "line"));
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("y1", top);
    cursor.setAttribute("y2", bottom);
    const dots = lines.map((line) => {
      const dot = svg.appendChild(document.createElementNS(space, "circle"));
      dot.setAttribute("class", "point dot " + line.style.replace("line", ""));
      dot.setAttribute("r", 4);
      return dot;
    });
    const hide = () => {
      readout.hidden = true;
      for (const node of [cursor, ...dots]) node.style.display = "none";
    };
    const show = (event) => {
      const box = svg.getBoundingClientRect();
      const at = clamp(((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width, left, right);
      const rows = new Map();
      lines.forEach((line, i) => {
        const near = line.points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
        const far = Math.abs(near[0] - at) > 24;
        dots[i].style.display = far ? "none" : "";
        dots[i].setAttribute("cx", near[0]);
        dots[i].setAttribute("cy", near[1]);
        if (!far) rows.set(line.label, [number(y.value(near[1]), y.percent), near[0], line.style]);
      });
      if (!rows.size) return hide();
      const place = [...rows.values()].reduce((a, b) => (Math.abs(b[1] - at) < Math.abs(a[1] - at) ? b : a))[1];
      cursor.style.display = "";
      cursor.setAttribute("x1", place);
      cursor.setAttribute("x2", place);
      readout.replaceChildren(make("div", "", svg.dataset.unit + " " + number(x.value(place), x.percent)));
      for (const [label, [text, , style]] of rows) {
        const row = readout.appendChild(make("div"));
        row.append(make("i", "swatch " + style.replace("line", "")), make("span", "", label), make("b", "", text));
      }
      readout.hidden = false;
      const middle = (left + right) / 2;
      readout.style.right = place > middle ? "auto" : "0";
      readout.style.left = place > middle ? (100 * left) / svg.viewBox.baseVal.width + "%" : "auto";
    };
    hide();
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", hide);
  }
})();
