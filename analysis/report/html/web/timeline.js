// The timeline: one step on a canvas, zoomed by wheel, buttons or keys, dragged to pan, its ranges read by pointer or
// keys. Everything is drawn from the JSON in #data; names are only ever text.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("canvas");
  const told = document.getElementById("told");
  const pick = document.getElementById("step");
  if (!canvas || !data.steps.length) return;
  for (const { lanes } of data.steps) for (const { t } of lanes) for (let i = 1; i < t.length; i++) t[i] += t[i - 1];
  const context = canvas.getContext("2d");
  const ROW = 15, GAP = 9, LEFT = 8, TITLE = 15, AXIS = 20;
  let step, from, to, hover = null, selected = null, colours = {}, ink = "#000", soft = "#666", line = "#ccc", pending = false;

  const { time } = Page;
  const readColours = () => {
    colours = data.kinds.map(Page.colour);
    [ink, soft, line] = ["ink", "soft", "line"].map(Page.colour);
  };
  const levels = (lane) => 1 + lane.l.reduce((a, b) => Math.max(a, b), 0);
  const choose = (index) => {
    step = data.steps[index];
    let y = AXIS;
    for (const lane of step.lanes) {
      lane.rows ??= levels(lane);
      lane.y = y + TITLE;
      y = lane.y + lane.rows * ROW + GAP;
    }
    step.height = y;
    [from, to, hover, selected] = [0, step.length, null, null];
    canvas.style.height = step.height + "px";
    describe(null);
    draw();
  };
  const scale = () => (canvas.clientWidth - 2 * LEFT) / (to - from);
  const firstVisible = (lane) => {
    // Starts ascend; a long range may begin far to the left, so all levels are searched from the farthest open one.
    lane.reach ??= lane.t.reduce((all, t, i) => { all.push(Math.max(i ? all[i - 1] : 0, t + lane.d[i])); return all; }, []);
    let low = 0, high = lane.reach.length;
    while (low < high) { const middle = (low + high) >> 1; if (lane.reach[middle] < from) low = middle + 1; else high = middle; }
    return low;
  };
  const draw = () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; paint(); });
  };
  const paint = () => {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(step.height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(step.height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, step.height);
    axis(width);
    for (const lane of step.lanes) paintLane(lane, width);
  };
  const axis = (width) => {
    context.font = "11px system-ui, sans-serif";
    const room = Math.max(1, Math.floor(width / 110)), rough = (to - from) / room;
    const power = 10 ** Math.floor(Math.log10(rough));
    const tick = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    for (let t = Math.ceil(from / tick) * tick; t <= to; t += tick) {
      const x = LEFT + (t - from) * scale();
      context.fillStyle = line;
      context.fillRect(x, AXIS - 5, 1, step.height);
      context.fillStyle = soft;
      const told = time(t);
      if (x + 3 + context.measureText(told).width < width) context.fillText(told, x + 3, 12);
    }
  };
  const paintLane = (lane, width) => {
    context.fillStyle = soft;
    context.font = "11px system-ui, sans-serif";
    context.fillText(lane.name, LEFT, lane.y - 4);
    const k = scale(), painted = new Array(lane.rows).fill(-1);
    for (let i = firstVisible(lane); i < lane.t.length && lane.t[i] <= to; i++) {
      const x = LEFT + (lane.t[i] - from) * k, end = LEFT + (lane.t[i] + lane.d[i] - from) * k, level = lane.l[i];
      const left = Math.max(x, LEFT - 1), right = Math.min(end, width - LEFT + 1);
      if (right < LEFT || right - painted[level] < 0.5) continue; // nothing of it would be seen
      const w = Math.max(right - left, 0.7), y = lane.y + level * ROW;
      context.fillStyle = colours[lane.k[i]];
      context.fillRect(left, y, w > 3 ? w - 0.5 : w, ROW - 1);
      painted[level] = left + w;
      if (w > 44) {
        context.save();
        context.beginPath();
        context.rect(left, y, w - 3, ROW);
        context.clip();
        context.fillStyle = ink;
        context.font = "10.5px system-ui, sans-serif";
        context.fillText(data.names[lane.n[i]], left + 3, y + 11);
        context.restore();
      }
    }
    for (const mark of [hover, selected]) {
      if (!mark || mark.lane !== lane) continue;
      const x = LEFT + (lane.t[mark.i] - from) * k;
      context.strokeStyle = ink;
      context.strokeRect(x, lane.y + lane.l[mark.i] * ROW + 0.5, Math.max(lane.d[mark.i] * k, 1), ROW - 2);
    }
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const t = from + (x - LEFT) / scale(), slack = 2 / scale();
    for (const lane of step.lanes) {
      const level = Math.floor((y - lane.y) / ROW);
      if (level < 0 || level >= lane.rows) continue;
      for (let i = firstVisible(lane); i < lane.t.length && lane.t[i] <= t + slack; i++) {
        if (lane.l[i] === level && lane.t[i] - slack <= t && lane.t[i] + lane.d[i] + slack >= t) return { lane, i };
      }
    }
    return null;
  };
  const describe = (mark) => {
    if (!mark) {
      const short = step.out ? ` The ${step.out} shortest ranges are left out.` : "";
      told.textContent = `Step ${step.number} (${step.label}), ${time(step.length)}. Point at a range to read it. Click, then the wheel or + and − zoom, dragging or ← → move, 0 shows all; n and p read the next and the previous range, ↓ and ↑ change the row, Enter zooms to the range.${short}`;
      return;
    }
    const { lane, i } = mark, kind = data.kinds[lane.k[i]];
    const what = lane.g === "idle" ? `GPU idle: ${data.names[lane.n[i]]}` : `${data.names[lane.n[i]]} (${data.words[kind] ?? kind})`;
    told.textContent = `${what}: ${time(lane.d[i])}, from ${time(lane.t[i])} to ${time(lane.t[i] + lane.d[i])} of the step. ${lane.name}.${lane.w[i] >= 0 ? ` ${data.names[lane.w[i]]}.` : ""}`;
  };
  const view = (a, b) => {
    const span = Math.min(Math.max(b - a, 200), step.length);
    from = Math.min(Math.max(a, 0), step.length - span);
    to = from + span;
    draw();
  };
  const select = (lane, i) => {
    const start = lane.t[i], end = start + lane.d[i], span = to - from;
    selected = { lane, i };
    hover = null;
    if (end < from || start > to) view(start - span * 0.1, start + span * 0.9); // what is read is seen
    describe(selected);
    draw();
  };
  const nearest = (lane, t) => {
    let low = 0, high = lane.t.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (lane.t[middle] <= t) low = middle; else high = middle - 1; }
    return low;
  };
  const read = (by) => {
    if (!selected) return select(step.lanes[0], Math.min(firstVisible(step.lanes[0]), step.lanes[0].t.length - 1));
    const { lane, i } = selected;
    select(lane, Math.min(Math.max(i + by, 0), lane.t.length - 1));
  };
  const row = (by) => {
    if (!selected) return read(1);
    const at = step.lanes.indexOf(selected.lane) + by;
    if (step.lanes[at]) select(step.lanes[at], nearest(step.lanes[at], selected.lane.t[selected.i]));
  };
  const fit = () => selected && view(
    selected.lane.t[selected.i] - selected.lane.d[selected.i] * 0.1,
    selected.lane.t[selected.i] + selected.lane.d[selected.i] * 1.1,
  );
  const zoom = (factor, centre = (from + to) / 2) => view(centre - (centre - from) * factor, centre + (to - centre) * factor);
  const pan = (share) => view(from + (to - from) * share, to + (to - from) * share);

  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls until the timeline is chosen
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 1000);
    else zoom(Math.exp(event.deltaY / 400), from + (event.clientX - canvas.getBoundingClientRect().left - LEFT) / scale());
    event.preventDefault();
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, from, to, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const by = (drag.x - event.clientX) / ((canvas.clientWidth - 2 * LEFT) / (drag.to - drag.from));
      drag.moved ||= Math.abs(drag.x - event.clientX) > 3;
      view(drag.from + by, drag.to + by);
      return;
    }
    const mark = at(event);
    if (mark?.lane !== hover?.lane || mark?.i !== hover?.i) { hover = mark; describe(hover ?? selected); draw(); }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) { selected = at(event); describe(selected); draw(); }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { hover = null; describe(selected); draw(); });
  canvas.addEventListener("dblclick", fit);
  const KEYS = {
    ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7),
    0: () => view(0, step.length), Home: () => view(0, to - from), End: () => view(step.length - (to - from), step.length),
    n: () => read(1), p: () => read(-1), ArrowDown: () => row(1), ArrowUp: () => row(-1), Enter: fit,
    Escape: () => { selected = null; describe(hover); draw(); },
  };
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { act(); event.preventDefault(); }
  });
  document.getElementById("closer").addEventListener("click", () => zoom(0.6));
  document.getElementById("farther").addEventListener("click", () => zoom(1 / 0.6));
  document.getElementById("all").addEventListener("click", () => view(0, step.length));
  pick.addEventListener("change", () => choose(Number(pick.value)));
  window.addEventListener("resize", draw);
  Page.painted(() => { readColours(); paint(); });
  readColours();
  choose(0);
})();
