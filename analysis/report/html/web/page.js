// What the drawings of a page share: figures as people read them, the colours of the style sheet, and paper, on which
// everything is drawn as by day.
const Page = (() => {
  "use strict";
  const root = document.documentElement, painters = [];
  const scaled = (value, units, rest) => {
    for (const [size, unit] of units) if (Math.abs(value) >= size) return (value / size).toPrecision(3) + " " + unit;
    return Math.round(value) + " " + rest;
  };
  const repaint = () => painters.forEach((paint) => paint());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("beforeprint", () => { root.classList.add("paper"); repaint(); });
  addEventListener("afterprint", () => { root.classList.remove("paper"); repaint(); });
  return {
    time: (ns) => scaled(ns, [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]], "ns"),
    bytes: (number) => scaled(number, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]], "B"),
    colour: (name) => getComputedStyle(root).getPropertyValue("--" + name).trim(),
    painted: (paint) => painters.push(paint), // called whenever the colours change
  };
})();
