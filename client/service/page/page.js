// The owner's page. Everything it shows comes from this device's service, over the loopback, with a token that a one-time link brought.
import { WORDS } from "/words.js";

const MANY = 10, PAGE = 30;
const byId = (id) => document.getElementById(id);
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let words = WORDS[language];
let token = sessionStorage.getItem("token");
let oldest = null, toastTimer = 0, tab = "discover";

class Refused extends Error {}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method, cache: "no-store", credentials: "omit",
      headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch { throw new Refused(words.unreachable); }
  const told = await response.json();
  if (response.status === 401) { lock(); }
  if (!response.ok) throw new Refused(told.error);
  return told;
}

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...inside);
  return made;
}

function say(text, undo) {
  byId("toast").firstElementChild.textContent = text;
  byId("toast").hidden = false;
  byId("undo").hidden = !undo;
  byId("undo").onclick = undo ? () => { byId("toast").hidden = true; undo(); } : null;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId("toast").hidden = true; }, undo ? 8000 : 4000);
}

// Runs what a person asked for; what goes wrong is said and not thrown.
const attempt = (work) => async (...given) => {
  try { await work(...given); } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(words.failed(error.message));
  }
};

// --- For you

async function showRecommendations() {
  const list = byId("recommendations");
  list.setAttribute("aria-busy", "true");
  try {
    const { items } = await call("GET", `/recommendations?n=${MANY}&reasons=true&language=${language}`);
    list.replaceChildren(...items.map(card));
    byId("nothing").hidden = items.length > 0;
    byId("nothing").textContent = words.nothing;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    list.replaceChildren();
    byId("nothing").hidden = false;
    byId("nothing").textContent = error.message;
  } finally { list.removeAttribute("aria-busy"); }
}

function card(item) {
  const made = element("li", { "data-item": item.item });
  const verdict = (name, word) => element("button", { class: name === "like" ? "soft" : "quiet", "data-verdict": name, onclick: attempt(() => judge(made, item, name)) }, words[word]);
  const why = element("button", { class: "quiet", "aria-expanded": "false", "aria-label": words.whyOf(item.title), onclick: () => explain(made, item, why) }, words.why);
  made.append(
    element("h2", {}, item.title), element("p", { class: "reason" }, item.reason),
    element("div", { class: "actions" }, verdict("like", "like"), verdict("not-for-me", "notForMe"), verdict("seen", "seen"), why),
  );
  return made;
}

function explain(made, item, button) {
  const shown = made.querySelector(".why");
  button.setAttribute("aria-expanded", String(!shown));
  if (shown) { shown.remove(); return; }
  const most = Math.max(...item.reasons.map((reason) => reason.contribution), 1e-9);
  const rows = item.reasons.map((reason) => {
    const bar = element("span");
    bar.style.width = `${Math.max(4, 100 * reason.contribution / most)}%`;
    const done = words.behaviours[reason.behaviours.at(-1)];
    return element("li", {}, element("span", {}, `${done} ${reason.title}`), element("span", { class: "bar", title: `+${reason.contribution.toFixed(3)}` }, bar));
  });
  made.append(element("ul", { class: "why" }, ...(rows.length ? rows : [element("li", {}, words.noReason)])));
}

async function judge(made, item, verdict) {
  await call("POST", "/feedback", { item: item.item, verdict });
  const next = made.nextElementSibling || made.previousElementSibling;
  made.remove();
  (next ? next.querySelector("button") : byId("refresh")).focus();
  say(`${words.kept[verdict]}: ${item.title}`, attempt(async () => {
    await call("DELETE", `/feedback/${encodeURIComponent(item.item)}`);
    await showRecommendations();
    byId("recommendations").querySelector("button")?.focus();
  }));
  if (byId("recommendations").children.length <= MANY / 2) await showRecommendations();
}

// --- History

async function showHistory(older = false) {
  const from = older && oldest ? `&before_time=${oldest.time}&before_id=${oldest.id}` : "";
  const { events } = await call("GET", `/events?n=${PAGE}${from}`);
  if (!older) byId("events").replaceChildren();
  byId("events").append(...events.map(row));
  oldest = events.at(-1) || oldest;
  byId("more").hidden = events.length < PAGE;
  byId("no-events").hidden = byId("events").children.length > 0;
}

function row(event) {
  const what = `${words.behaviours[event.behaviour]} ${event.title || event.text || ""}`;
  const when = new Date(event.time * 1000);
  const made = element("li", {},
    element("span", { class: "what" }, what),
    element("button", { class: "quiet", "aria-label": words.removeOf(what), onclick: attempt(async () => {
      await call("DELETE", `/events/${event.id}`);
      const next = made.nextElementSibling || made.previousElementSibling;
      made.remove();
      (next ? next.querySelector("button") : byId("tab-history")).focus();
      byId("no-events").hidden = byId("events").children.length > 0;
      say(`${words.deleted}: ${what}`);
    }) }, words.remove),
    element("time", { class: "when", datetime: when.toISOString() }, when.toLocaleString(language === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "short" })),
  );
  return made;
}

// --- Privacy

async function showPrivacy() {
  const [told, status] = await Promise.all([call("GET", "/privacy"), call("GET", "/status")]);
  const spent = told.budget ? Math.round(100 * (1 - told.left)) : 0;
  byId("meter").setAttribute("aria-valuenow", String(spent));
  byId("meter").firstElementChild.style.width = `${spent}%`;
  byId("meter-text").textContent = told.budget ? words.spent(number(told.spent), number(told.budget.epsilon), `${100 - spent}%`) : words.untouched;
  byId("meter").setAttribute("aria-valuetext", byId("meter-text").textContent);
  byId("meter-rounds").textContent = told.budget ? words.rounds(told.rounds, told.budget.delta) : "";
  byId("claim").hidden = !told.statement;
  byId("statement").textContent = told.statement || "";
  showPolicy(told.policy);
  showPaused(status.paused);
}

function showPolicy(policy) {
  const told = policy.error ? { "": policy.error } : {
    epsilon: `ε ${policy.epsilon}, δ ${policy.delta}`, units: policy.units.join(", "), mechanisms: policy.mechanisms.join(", "),
    min_cohort: policy.min_cohort, hours: policy.hours || words.always, servers: policy.servers.map((server) => server.name).join(", ") || "–",
  };
  byId("policy").replaceChildren(...Object.entries(told).flatMap(([key, value]) => [element("dt", {}, words.allowed[key] || ""), element("dd", {}, String(value))]));
}

function showPaused(paused) {
  byId("pause").textContent = paused ? words.resume : words.pause;
  byId("pause").dataset.paused = paused;
  byId("pause-text").textContent = paused ? words.paused : words.running;
  byId("paused-note").hidden = !paused;
}

const number = (value) => Number(value.toPrecision(3)).toString();

// --- The page

const SHOW = { discover: showRecommendations, history: showHistory, privacy: showPrivacy };

async function select(name) {
  tab = name;
  for (const each of Object.keys(SHOW)) {
    byId(each).hidden = each !== name;
    byId(`tab-${each}`).setAttribute("aria-selected", String(each === name));
    byId(`tab-${each}`).tabIndex = each === name ? 0 : -1;
  }
  await SHOW[name]();
}

function speak() {
  words = WORDS[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = words[each.dataset.word];
  byId("language").textContent = words.other;
  byId("language").lang = language === "zh" ? "en" : "zh-CN";
}

function lock() {
  token = null;
  sessionStorage.removeItem("token");
  byId("tabs").hidden = true;
  for (const each of Object.keys(SHOW)) byId(each).hidden = true;
  byId("locked").hidden = false;
}

async function enter() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname);  // works once; not for the list of visited pages
    token = (await call("POST", "/session", { code })).token;
    sessionStorage.setItem("token", token);
  }
  if (!token) { lock(); return; }
  byId("locked").hidden = true;
  byId("tabs").hidden = false;
  await select(tab);
  showPaused((await call("GET", "/status")).paused);
}

byId("language").onclick = attempt(async () => {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  speak();
  if (token) await select(tab);
});
const names = Object.keys(SHOW);
for (const name of names) {
  byId(`tab-${name}`).onclick = attempt(() => select(name));
  byId(`tab-${name}`).onkeydown = attempt(async (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(name) + step + names.length) % names.length];
    byId(`tab-${next}`).focus();
    await select(next);
  });
}
byId("refresh").onclick = attempt(showRecommendations);
byId("more").onclick = attempt(() => showHistory(true));
byId("pause").onclick = attempt(async () => {
  const { paused } = await call("POST", byId("pause").dataset.paused === "true" ? "/resume" : "/pause");
  showPaused(paused);
});
byId("export").onclick = attempt(async () => {
  const blob = new Blob([JSON.stringify(await call("GET", "/export"), null, 1)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "everbloom-device.json" });
  link.click();
  URL.revokeObjectURL(link.href);
});
byId("forget").onclick = () => { byId("confirm").returnValue = ""; byId("confirm").showModal(); };
byId("confirm").onclose = attempt(async () => {
  if (byId("confirm").returnValue !== "yes") return;
  const { deleted } = await call("DELETE", "/data");
  say(words.forgotten(deleted));
  await showPrivacy();
});
window.addEventListener("hashchange", attempt(enter));
speak();
attempt(enter)();
