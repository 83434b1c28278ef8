// The tab: choose a run, a worker and a span; its page is shown in a frame, which has a policy of its own.
// Every name is set as text.
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const STYLE = `
  :root { color-scheme: light dark; font: 14px system-ui, sans-serif; --line: light-dark(#d0d7de, #30363d); --panel: light-dark(#f6f8fa, #171c22); }
  html, body { height: 100%; margin: 0; }
  body { display: flex; flex-direction: column; background: light-dark(#ffffff, #0f1419); color: light-dark(#1b1f24, #e6e9ed); }
  nav { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
  nav[hidden], label[hidden] { display: none; }
  label { display: flex; gap: .4rem; align-items: center; min-width: 0; max-width: 100%; }
  select, button { font: inherit; min-width: 0; max-width: 24rem; padding: .2rem .5rem; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: 4px; }
  a { color: light-dark(#0b57d0, #8ab4f8); }
  :focus-visible { outline: 2px solid light-dark(#0b57d0, #8ab4f8); outline-offset: 1px; }
  iframe { flex: 1; border: 0; width: 100%; }
  .told { margin: 1.5rem 1.2rem; max-width: 46rem; line-height: 1.5; overflow-wrap: anywhere; }
  .unread { margin: .5rem 1rem; overflow-wrap: anywhere; }
  h1 { font-size: 1.4rem; }
  pre { padding: .7rem; overflow-x: auto; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
  progress { width: min(24rem, 100%); }
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
  const figures = make("a", { id: "figures", target: "_blank", textContent: "figures as JSON" });
  const unread = make("div", { className: "unread", hidden: true });
  const place = make("div", { id: "place" });
  place.style.cssText = "flex: 1; display: flex; flex-direction: column; min-height: 0";
  const labelled = (text, field) => make("label", {}, `${text} `, field);
  const nav = make("nav", { hidden: true }, labelled("Run", run), labelled("Worker", worker), labelled("Span", span), labelled("Compare with (before)", other), again, figures);
  document.head.append(make("style", { textContent: STYLE }));
  document.body.replaceChildren(nav, unread, place);
  let runs = [], asked = 0, shown = "";

  const chosen = () => runs[run.value]?.workers[worker.value]?.spans[span.value];
  const say = (...lines) => {
    shown = "";
    place.replaceChildren(make("div", { className: "told", role: "status" }, ...lines));
  };
  const fill = (field, names, index = 0) => {
    field.replaceChildren(...names.map((name, i) => make("option", { value: String(i), textContent: name, selected: i === index })));
    field.parentElement.hidden = names.length < 2 && field !== run;
  };
  const progress = (found) => {
    const doing = found.state === "waiting" ? "Waiting for another trace" : `${found.doing || "beginning"}, ${Math.round(found.seconds)} s`;
    const bar = make("progress", {});
    if (found.share !== null) bar.value = found.share;
    say(make("p", { textContent: `${doing[0].toUpperCase()}${doing.slice(1)} …` }), bar);
  };
  const show = async () => {
    const mine = ++asked, one = chosen();
    if (!one) return;
    const query = other.value ? `span=${one.id}&with=${other.value}` : `span=${one.id}`;
    figures.hidden = true;
    let found;
    for (let pause = 40; ; pause = Math.min(2 * pause, 300)) {
      try { found = await get(`./state?${query}`); } catch (error) { found = { state: "failed", text: String(error.message) }; }
      if (mine !== asked) return;
      if (found.state === "ready") break;
      if (found.state === "failed") return say(make("h1", { textContent: "There is no page for this trace" }), make("p", { textContent: found.text }));
      progress(found);
      await sleep(pause);
      if (mine !== asked) return;
    }
    figures.href = `./figures?${query}`;
    figures.hidden = false;
    if (shown === `${query} ${found.number}`) return; // it is there already, and the reader may be in the middle of it
    const frame = make("iframe", { title: "Stallscope report" });
    frame.setAttribute("sandbox", "allow-scripts"); // a page can reach nothing but itself
    frame.src = `./page?${query}`;
    place.replaceChildren(frame);
    shown = `${query} ${found.number}`;
  };
  const others = (kept) => {
    // Every other span, of this run too, to stand before the one that is shown.
    const id = chosen()?.id;
    const groups = runs.map((each) => make("optgroup", { label: each.name }, ...each.workers.flatMap((one) => one.spans).filter((each) => each.id !== id).map(
      (each) => make("option", { value: String(each.id), textContent: each.label, selected: String(each.id) === kept }))));
    other.replaceChildren(make("option", { value: "", textContent: "(nothing)" }), ...groups.filter((each) => each.children.length));
    other.parentElement.hidden = other.options.length < 2;
  };
  const spans = (id, kept) => {
    const found = runs[run.value].workers[worker.value].spans, known = found.findIndex((each) => each.id === id);
    fill(span, found.map((each) => each.name), known >= 0 ? known : Math.max(0, found.findIndex((each) => each.first)));
    others(kept);
    show();
  };
  const workers = (id, kept) => {
    const found = runs[run.value].workers;
    fill(worker, found.map((each) => each.name), Math.max(0, found.findIndex((each) => each.spans.some((one) => one.id === id))));
    spans(id, kept);
  };
  const look = async () => {
    const id = chosen()?.id, kept = other.value;
    let found;
    try { found = await get("./runs"); } catch (error) { return say(make("p", { textContent: `TensorBoard does not answer: ${error.message}` })); }
    runs = found.runs;
    unread.replaceChildren(...found.unreadable.slice(0, 5).map((each) => make("div", { textContent: `Not looked into: ${each}` })));
    unread.hidden = !found.unreadable.length;
    nav.hidden = !runs.length;
    if (!runs.length) {
      return say(
        make("h1", { textContent: "Nothing recorded yet" }), make("p", { textContent: found.why_none }), make("p", { textContent: "Record your script, unmodified, into this folder:" }),
        make("pre", { textContent: `stallscope profile --logdir ${found.logdir || "runs"} train.py` }), make("p", { textContent: "Folders written by torch.profiler.tensorboard_trace_handler are shown as well." }), again,
      );
    }
    nav.insertBefore(again, figures);
    fill(run, runs.map((each) => each.name), Math.max(0, runs.findIndex((each) => each.workers.some((one) => one.spans.some((span) => span.id === id)))));
    workers(id, kept);
  };
  run.addEventListener("change", () => workers());
  worker.addEventListener("change", () => spans(undefined, other.value));
  span.addEventListener("change", () => { others(other.value); show(); });
  other.addEventListener("change", show);
  again.addEventListener("click", look);
  await look();
}
