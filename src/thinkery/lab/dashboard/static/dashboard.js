// What changed in a run's record comes into the page that shows it, and keys for those who do not use a mouse.
import { draw, drop, pressed, renew } from "./charts.js";

const live = document.getElementById("live");
const main = document.getElementById("main");

// ---- the page follows the record: only what differs is touched, so that focus, what is open, zoom and place stay

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  const at = old.classList.contains("at");
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (at) old.classList.add("at");
}

function follow(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    drop(old);
    old.replaceWith(fresh);
    draw(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else if (old.matches("figure[data-chart]")) {
    renew(old, fresh);
  } else {
    attributes(old, fresh);
    children(old, [...fresh.childNodes]);
  }
}

const named = (node) => node.nodeType === Node.ELEMENT_NODE && (node.id || node.dataset.key);

function children(old, wanted) {
  const known = new Map([...old.childNodes].filter(named).map((it) => [named(it), it]));
  wanted.forEach((fresh, i) => {
    const here = old.childNodes[i], same = named(fresh) && known.get(named(fresh));
    if (same) {
      if (same !== here) old.insertBefore(same, here);
      follow(same, fresh);
    } else if (here && !named(here) && !named(fresh)) follow(here, fresh);
    else {
      old.insertBefore(fresh, here || null);
      draw(fresh);
    }
  });
  while (old.childNodes.length > wanted.length) {
    drop(old.lastChild);
    old.lastChild.remove();
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  children(main, [...page.getElementById("main").childNodes]);
}

if (location.pathname === "/" || document.querySelector("[data-follow]")) {
  const here = document.querySelector("[data-follow]")?.dataset.follow || "";
  const news = new EventSource("/news");
  let waiting = false;
  news.onmessage = (event) => {
    const run = JSON.parse(event.data);
    if ((here && run !== here) || waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; refresh(); }, 300);
  };
  news.onopen = () => { live.textContent = "live"; };
  news.onerror = () => { live.textContent = "not connected"; };
}

draw(main);

// ---- keys

function step(by) {
  const items = [...document.querySelectorAll("[data-item]")];
  if (!items.length) return;
  const at = items.findIndex((item) => item.classList.contains("at"));
  const next = items[Math.min(items.length - 1, Math.max(0, at + by))];
  items.forEach((item) => item.classList.toggle("at", item === next));
  next.scrollIntoView({ block: "nearest" });
  (next.matches("a") ? next : next.querySelector("a, summary") || next).focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const figure = event.target.closest("figure[data-chart]");
  if (figure && event.target === figure && pressed(figure, event.key)) event.preventDefault();
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "u") document.querySelector("[data-up]")?.click();
  else if (event.key === "/") { document.querySelector("input[type=search]")?.focus(); event.preventDefault(); }
});
