"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from) => [...(from || document).querySelectorAll(selector)];
  root.classList.add("js");

  // Light and dark: the system's choice until somebody chooses.
  const theme = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  system.addEventListener("change", name);
  name();

  // Hints: titles become one box that follows the pointer or the arrow keys.
  const hint = document.getElementById("hint");
  all("svg title").forEach((title) => {
    if (title.parentNode.tagName === "rect") { title.parentNode.dataset.hint = title.textContent; title.remove(); }
  });
  const shown = (figure) => all("[data-key]", figure).map((button) => button.getAttribute("aria-pressed") === "true");
  const say = (mark, x, y) => {
    const visible = shown(mark.closest("figure"));
    const labels = all("[data-key]", mark.closest("figure")).map((button) => button.textContent);
    const lines = mark.dataset.hint.split("\n").filter((line) => !labels.some((label, at) => !visible[at] && line.startsWith(label + ": ")));
    hint.textContent = lines.join("\n");
    hint.hidden = false;
    const box = hint.getBoundingClientRect();
    hint.style.left = Math.max(8, Math.min(x + 14, window.innerWidth - box.width - 8)) + "px";
    hint.style.top = Math.max(8, y - box.height - 14) + "px";
  };
  const cursor = (svg, mark) => {
    all(".cursor", svg).forEach((line) => line.remove());
    if (!mark || !mark.dataset.at) return;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of [["x1", mark.dataset.at], ["x2", mark.dataset.at], ["y1", mark.getAttribute("y")], ["y2", +mark.getAttribute("y") + +mark.getAttribute("height")], ["class", "cursor"]]) line.setAttribute(key, value);
    svg.append(line);
  };
  all("figure svg").forEach((svg) => {
    const marks = all("[data-hint]", svg);
    let at = -1;
    const quiet = () => { hint.hidden = true; cursor(svg, null); };
    svg.addEventListener("pointermove", (event) => {
      const mark = event.target.closest("[data-hint]");
      if (!mark) { quiet(); return; }
      at = marks.indexOf(mark);
      say(mark, event.clientX, event.clientY);
      cursor(svg, mark);
    });
    svg.addEventListener("pointerleave", quiet);
    svg.addEventListener("blur", quiet);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") quiet();
      if (!step || !marks.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(marks.length - 1, at + step));
      const box = marks[at].getBoundingClientRect();
      say(marks[at], box.left + box.width / 2, Math.max(box.top, 60));
      cursor(svg, marks[at]);
    });
  });

  // Legends hide and show.
  all("[data-key]").forEach((button) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    all(`[data-series="${button.dataset.key}"]`, button.closest("figure")).forEach((part) => { part.style.display = on ? "" : "none"; });
  }));

  // Tabs, by pointer and by arrow keys.
  all(".tabbed").forEach((tabbed) => {
    const tabs = all("[role=tab]", tabbed);
    const choose = (chosen) => tabs.forEach((tab) => {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    });
    tabs.forEach((tab, at) => {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(at + step + tabs.length) % tabs.length];
        choose(next);
        next.focus();
      });
    });
    choose(tabs[0]);
  });

  // Which section is read.
  const links = new Map(all("nav a").map((link) => [link.getAttribute("href").slice(1), link]));
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    links.forEach((link) => link.classList.remove("here"));
    links.get(entry.target.id).classList.add("here");
  }), { rootMargin: "-10% 0px -70% 0px" });
  all("main > section").forEach((section) => watcher.observe(section));
})();
