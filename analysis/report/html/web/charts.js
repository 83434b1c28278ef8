// The charts of many values, drawn by uPlot from the JSON in #series over the SVG that stands there without a script
// and in print: zoomed by dragging or keys, read by pointer or keys. A step may have a timeline on this page.
(() => {
  "use strict";
  const { time, bytes, colour } = Page;
  const HIGH = 190, NONE = () => null;
  const pick = document.getElementById("step");
  const timelineOf = (number) => pick && [...pick.options].find((each) => Number(each.dataset.number) === number);
  const show = (option) => {
    pick.value = option.value;
    pick.dispatchEvent(new Event("change"));
    document.getElementById("timeline").scrollIntoView({ block: "start" });
    document.getElementById("canvas").focus({ preventScroll: true });
  };
  const css = (name) => () => colour(name);
  const axes = (across, up) => [across, up].map((told, side) => ({
    stroke: css("soft"), grid: { stroke: css("line"), width: 1 }, ticks: { stroke: css("line"), width: 1, size: 4 },
    font: "11px system-ui, sans-serif", size: side ? 64 : 26, gap: 3, values: (_, ticks) => ticks.map(told),
    ...(side ? {} : { space: 90 }),
  }));

  const steps = (chart) => {
    const far = new Set(chart.far), many = chart.x.length > 400;
    const bars = uPlot.paths.bars({ size: [0.8, 60] });
    const shown = chart.chosen ? chart.x.map((number) => Boolean(timelineOf(number))) : [];
    const only = (keep) => chart.y.map((ns, i) => (keep(i) ? ns : null));
    const marks = (name, size) => ({ show: true, size, width: 1.5, stroke: css(name), fill: css(name) });
    const point = { points: { show: false } };
    return {
      data: [chart.x, only((i) => many || !far.has(i)), only((i) => far.has(i)), chart.x.map(() => chart.median), only((i) => shown[i])],
      series: [
        {},
        many ? { stroke: css("working"), width: 1, ...point } : { fill: css("working"), paths: bars, ...point },
        many ? { stroke: css("wait"), paths: NONE, points: marks("wait", 6) } : { fill: css("wait"), paths: bars, ...point },
        { stroke: css("soft"), width: 1, dash: [5, 4], ...point },
        { stroke: css("accent"), paths: NONE, points: { ...marks("accent", 8), fill: css("page") } },
      ],
      axes: axes((x) => (Number.isInteger(x) ? String(x) : ""), time),
      edge: 0.6,
      hint: `Point at a step to read it; drag to zoom, a double click or 0 shows all. Keys: ← → step by step, + − zoom.${
        shown.some(Boolean) ? " Ringed steps have a timeline above: a click or Enter shows it." : ""}`,
      told: (i) => {
        const off = Math.round(100 * (chart.y[i] / chart.median - 1));
        const from = off ? `${Math.abs(off)} % ${off > 0 ? "above" : "below"} the median` : "as the median";
        return `Step ${chart.x[i]}: ${time(chart.y[i])}, ${from}${far.has(i) ? ", stands out" : ""}.${
          shown[i] ? " A click or Enter shows its timeline." : ""}`;
      },
      chosen: (i) => { if (shown[i]) show(timelineOf(chart.x[i])); },
    };
  };
  const memory = (chart) => ({
    data: [chart.x, ...chart.lines.map((line) => line.y)],
    series: [{}, ...chart.lines.map((line) => ({
      stroke: css(line.kind), fill: css(line.kind), width: 1, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false },
    }))],
    axes: axes(time, bytes),
    edge: 0,
    hint: "Point at a moment to read it; drag to zoom, a double click or 0 shows all. Keys: ← → move, + − zoom.",
    told: (i) => `At ${time(chart.x[i])}: ${chart.lines.filter((line) => line.y[i] !== null)
      .map((line) => `${bytes(line.y[i])} ${line.name}`).join(", ")}.`,
    chosen: () => {},
  });

  const draw = (chart, number) => {
    const host = document.getElementById(`series-${number}`);
    const plot = host.querySelector(".plot"), read = host.querySelector(".read");
    const { data, series, axes, edge, hint, told, chosen } = { steps, memory }[chart.kind](chart);
    const x = data[0], first = x[0] - edge, last = Math.max(x[x.length - 1], x[0] + 1) + edge;
    let at = null;
    const describe = (i) => { at = i; read.textContent = i === null ? hint : told(i); };
    host.classList.add("drawn"); // before its width is read
    const view = new uPlot({
      width: plot.clientWidth, height: HIGH, series, axes, legend: { show: false },
      scales: {
        x: { time: false, range: (_, a, b) => (a <= x[0] && b >= x[x.length - 1] ? [first, last] : [a, b]) },
        y: { range: (_, low, high) => [0, 1.08 * high || 1] },
      },
      cursor: { y: false, drag: { x: true, y: false, dist: 5 }, points: { show: false } },
      hooks: { setCursor: [(u) => { if (u.cursor.idx !== at) describe(u.cursor.idx ?? null); }] },
    }, data, plot);
    const bounds = (a, b) => {
      const span = Math.min(b - a, last - first), from = Math.min(Math.max(a, first), last - span);
      view.setScale("x", { min: from, max: from + span });
    };
    const go = (i) => {
      const next = Math.min(Math.max(i, 0), x.length - 1), { min, max } = view.scales.x;
      if (x[next] < min || x[next] > max) bounds(x[next] - (max - min) / 2, x[next] + (max - min) / 2);
      requestAnimationFrame(() => view.setCursor({ left: view.valToPos(x[next], "x"), top: 1 }));
      describe(next);
    };
    const zoom = (factor) => {
      const { min, max } = view.scales.x, centre = at === null ? (min + max) / 2 : x[at];
      const least = Math.min((last - first) / 2, 4 * (last - first) / x.length), span = Math.max((max - min) * factor, least);
      bounds(centre - span * ((centre - min) / (max - min)), centre + span * ((max - centre) / (max - min)));
    };
    const start = () => view.valToIdx(view.scales.x.min + edge);
    const keys = {
      ArrowRight: () => go(at === null ? start() : at + 1), ArrowLeft: () => go(at === null ? start() : at - 1),
      Home: () => go(0), End: () => go(x.length - 1), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
      0: () => bounds(first, last), Enter: () => at !== null && chosen(at),
      Escape: () => { view.setCursor({ left: -10, top: -10 }); describe(null); },
    };
    plot.addEventListener("keydown", (event) => {
      const act = keys[event.key];
      if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { act(); event.preventDefault(); }
    });
    let pressed = 0;
    view.over.addEventListener("mousedown", (event) => { pressed = event.clientX; });
    view.over.addEventListener("click", (event) => {
      plot.focus({ preventScroll: true });
      if (Math.abs(event.clientX - pressed) <= 3 && at !== null) chosen(at);
    });
    addEventListener("resize", () => view.setSize({ width: plot.clientWidth, height: HIGH }));
    Page.painted(() => view.redraw(false));
    describe(null);
  };
  JSON.parse(document.getElementById("series").textContent).forEach(draw);
})();
