// Live figures, keys and nothing else: every page works without this file.
const base = document.body.dataset.base;
const live = document.getElementById("live");
const mark = document.querySelector(".mark");
const PAGES = { o: "/", t: "/tasks", f: "/failures", q: "/queues", n: "/names", h: "/history", w: "/workers", s: "/schedules", l: "/limits", b: "/batches", d: "/dead", x: "/doctor", a: "/audit" };
let source = null;
let fetching = false;

function say(text, away) {
  live.hidden = false;
  live.textContent = text;
  live.classList.toggle("away", Boolean(away));
}

// Whether somebody reads or types in the part that would be replaced.
function inUse(part) {
  const active = document.activeElement;
  return part.contains(active) && active.matches("input, button, summary, a") || String(getSelection()).length > 0;
}

// The server has read the fleet anew: it makes this page of what it has read, and asks the database nothing more.
async function refresh() {
  const part = document.querySelector("[data-live]");
  if (!part || fetching || inUse(part)) return;
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { "x-live": "1" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (!fresh || inUse(part)) return;
    part.querySelectorAll("details").forEach((one, number) => {
      const same = fresh.querySelectorAll("details")[number];
      if (same) same.open = one.open;
    });
    part.replaceWith(fresh);
    draw();
    const footer = page.querySelector("footer time");
    if (footer) document.querySelector("footer time").textContent = footer.textContent;
  } catch {
    // the event source says that the server is away
  } finally {
    fetching = false;
  }
}

// Lines over time; what they say stands above them in words.
function draw() {
  if (!globalThis.uPlot) return;
  const ink = getComputedStyle(document.documentElement);
  const colour = (name) => ink.getPropertyValue(`--${name}`).trim();
  const axis = { space: 64, stroke: colour("dim"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
  for (const place of document.querySelectorAll("[data-chart]")) {
    const seconds = place.dataset.unit === "s";
    const text = (one) => (one == null ? "-" : seconds ? length(one) : one.toLocaleString("en"));
    // The newest value stands in the legend as long as no point is under the pointer.
    const value = (plot, one, number, at) => text(at == null ? plot.data[number].findLast((found) => found != null) : one);
    const line = ([label, name]) => ({ label, stroke: colour(name), width: 2, points: { size: 4 }, value });
    const time = { label: "UTC", value: (plot, one, _, at) => clock(at == null ? plot.data[0].at(-1) : one) };
    const series = [time, ...JSON.parse(place.dataset.series).map(line)];
    const times = { ...axis, space: 72, values: (_, marks, __, ___, step) => marks.map((one) => clock(one, step)) };
    const heights = { ...axis, space: 40, size: 70, values: (_, marks) => marks.map(text) };
    const hooks = { draw: [(plot) => released(plot, JSON.parse(place.dataset.marks ?? "[]"), colour("dim"))] };
    const tzDate = (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC");
    new uPlot({ width: place.clientWidth, height: 200, series, axes: [times, heights], hooks, tzDate }, JSON.parse(place.dataset.chart), place);
  }
}

// An instant in UTC, as the tables have it: days where the marks are days apart.
function clock(stamp, step = 60) {
  if (stamp == null) return "-";
  const [day, time] = new Date(stamp * 1000).toISOString().split("T");
  if (step >= 86400) return day.slice(5);
  return time.slice(0, step < 60 ? 8 : 5);
}

// A dashed line with a name for each release.
function released(plot, marks, ink) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = ink;
  ctx.setLineDash([4, 4]);
  for (const [at, name] of marks) {
    const x = Math.round(plot.valToPos(at, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const left = x > bbox.left + bbox.width / 2;
    ctx.textAlign = left ? "right" : "left";
    ctx.fillText(name, x + (left ? -4 : 4) * devicePixelRatio, bbox.top + 10 * devicePixelRatio);
  }
  ctx.restore();
}

function length(seconds) {
  if (seconds === 0) return "0";
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([one]) => seconds >= one) ?? [0.001, "ms"];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

document.querySelectorAll("nav [aria-current]").forEach((one) => (one.parentElement.scrollLeft = one.offsetLeft - 40));
draw();
addEventListener("resize", () => {
  document.querySelectorAll("[data-chart]").forEach((one) => one.replaceChildren());
  draw();
});

function open() {
  if (source) return;
  source = new EventSource(`${base}/events`);
  source.addEventListener("tick", (event) => {
    say("live");
    mark.className = `mark ${event.data}`;
    if (document.querySelector("[data-away]")) location.reload();
    else refresh();
  });
  source.addEventListener("away", () => say("database away", true));
  source.addEventListener("error", () => say("reconnecting", true));
}

function close() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
if (!document.hidden) open();

let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  if (going) {
    going = false;
    if (PAGES[event.key]) location.href = base + PAGES[event.key];
    return;
  }
  if (event.key === "g") going = true;
  else if (event.key === "/") {
    event.preventDefault();
    document.getElementById("find").focus();
  } else if (event.key === "?") document.querySelector(".keys").scrollIntoView();
  else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
});

function move(step) {
  const links = [...document.querySelectorAll("table.rows tbody th a, .fault .button:first-child")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at < 0 ? 0 : at + step))].focus();
}
