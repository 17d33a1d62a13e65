// The page of a comparison: maps that point at one another.
(() => {
  const controls = document.querySelector(".controls");
  const opened = [];
  const tell = (from, what, sample) => {
    const group = opened.find((each) => each.map === from)?.group;
    for (const each of opened) {
      if (each.map !== from && each.group === group) each.map[what](sample);
    }
  };
  for (const root of document.querySelectorAll(".map")) {
    const i = Number(root.dataset.run);
    opened.push({ map: openMap(root, held.maps[i], controls, tell), group: held.groups[i] });
  }
})();
