// The tab: choose a run, a worker and a span; its page is shown in a frame, which has a policy of its own.
// Every name is set as text.
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const STYLE = `
  :root { color-scheme: light dark; font: 14px system-ui, sans-serif; }
  html, body { height: 100%; margin: 0; }
  body { display: flex; flex-direction: column; background: Canvas; color: CanvasText; }
  nav { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center; padding: .6rem 1rem; border-bottom: 1px solid color-mix(in srgb, CanvasText 20%, Canvas); }
  select, button { font: inherit; max-width: 24rem; padding: .15rem .4rem; }
  iframe { flex: 1; border: 0; width: 100%; }
  .told { margin: 2rem 1.2rem; max-width: 46rem; line-height: 1.5; } pre { padding: .7rem; overflow-x: auto; background: color-mix(in srgb, CanvasText 8%, Canvas); }
`;
const get = async (route) => {
  const answer = await fetch(route, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${route}: ${answer.status}`);
  return answer.json();
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function render() {
  const run = make("select", { id: "run" }), worker = make("select", { id: "worker" }), span = make("select", { id: "span" }), other = make("select", { id: "with" });
  const again = make("button", { type: "button", textContent: "look for new runs" });
  const place = make("div", { id: "place" });
  place.style.cssText = "flex: 1; display: flex; flex-direction: column; min-height: 0";
  const labelled = (text, field) => make("label", {}, `${text} `, field);
  const nav = make("nav", {}, labelled("Run", run), labelled("Worker", worker), labelled("Span", span), labelled("Compare with", other), again);
  document.head.append(make("style", { textContent: STYLE }));
  document.body.replaceChildren(nav, place);
  let runs = [], asked = 0;

  const say = (...lines) => place.replaceChildren(make("div", { className: "told" }, ...lines));
  const fill = (field, names, chosen = 0) => {
    field.replaceChildren(...names.map((name, i) => make("option", { value: String(i), textContent: name, selected: i === chosen })));
    field.parentElement.hidden = names.length < 2 && field !== run;
  };
  const show = async () => {
    const mine = ++asked, chosen = runs[run.value]?.workers[worker.value]?.spans[span.value];
    if (!chosen) return;
    const query = other.value ? `span=${chosen.id}&with=${other.value}` : `span=${chosen.id}`;
    for (let pause = 40; ; pause = Math.min(2 * pause, 300)) {
      let found;
      try { found = await get(`./state?${query}`); } catch (error) { found = { state: "failed", text: String(error.message) }; }
      if (mine !== asked) return;
      if (found.state === "ready") break;
      if (found.state === "failed") return say(make("p", { textContent: `There is no page for this trace: ${found.text}` }));
      const doing = found.state === "waiting" ? "Waiting for another trace" : `Analysing this trace (${Math.round(found.seconds)} s)`;
      say(make("p", { textContent: `${doing} …` }));
      await sleep(pause);
      if (mine !== asked) return;
    }
    const frame = make("iframe", { title: "Stallscope report" });
    frame.setAttribute("sandbox", "allow-scripts"); // a page can reach nothing but itself
    frame.src = `./page?${query}`;
    place.replaceChildren(frame);
  };
  const spans = () => {
    const found = runs[run.value].workers[worker.value].spans;
    fill(span, found.map((each) => (each.kind ? `${each.name} (${each.kind})` : each.name)), Math.max(0, found.findIndex((each) => each.first)));
    show();
  };
  const others = () => {
    // Of every other run the span to look at first, to stand before the one that is shown.
    const listed = runs.filter((each, i) => String(i) !== run.value).flatMap((each) => each.workers.slice(0, 1).map((first) => ({ name: each.name, span: first.spans.find((one) => one.first) })));
    other.replaceChildren(make("option", { value: "", textContent: "(nothing)" }), ...listed.filter((each) => each.span).map((each) => make("option", { value: String(each.span.id), textContent: each.name })));
    other.parentElement.hidden = other.options.length < 2;
  };
  const workers = () => { fill(worker, runs[run.value].workers.map((each) => each.name)); others(); spans(); };
  const look = async () => {
    const before = runs[run.value]?.name;
    let found;
    try { found = await get("./runs"); } catch (error) { return say(make("p", { textContent: `TensorBoard does not answer: ${error.message}` })); }
    runs = found.runs;
    if (!runs.length) {
      nav.hidden = true;
      return say(
        make("h1", { textContent: "Nothing recorded yet" }), make("p", { textContent: found.why_none }), make("p", { textContent: "Record your script, unmodified, into this folder:" }),
        make("pre", { textContent: `stallscope profile --logdir ${found.logdir || "runs"} train.py` }), make("p", { textContent: "Folders written by torch.profiler.tensorboard_trace_handler are shown as well." }), again,
      );
    }
    nav.hidden = false;
    nav.append(again);
    fill(run, runs.map((each) => each.name), Math.max(0, runs.findIndex((each) => each.name === before)));
    workers();
  };
  run.addEventListener("change", workers);
  worker.addEventListener("change", spans);
  span.addEventListener("change", show);
  other.addEventListener("change", show);
  again.addEventListener("click", look);
  await look();
}
