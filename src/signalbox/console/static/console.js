// What pages do beyond links and forms: live tail, drawer, theme, keys. Without it everything can still be read.
"use strict";
(() => {
  const TAIL_MS = 1000;
  const drawer = document.getElementById("drawer");
  let tailing = true;
  let known = new Set();
  let rests = 0;
  let opener = null;

  const reveal = (root) => root.querySelectorAll(".script-only").forEach((one) => { one.hidden = false; });

  // --- live tail: asks for the rows while somebody looks; the answer is empty while nothing changed. When calls come
  // faster than anybody reads, so that every row is another one, it leaves out every second look.
  const rowsNow = () => [...document.querySelectorAll("#rows a[data-drawer]")].map((one) => one.getAttribute("href"));
  known = new Set(rowsNow());
  setInterval(() => {
    if (rests > 0) { rests -= 1; return; }
    if (tailing && !document.hidden && document.getElementById("rows")) {
      document.body.dispatchEvent(new CustomEvent("tail"));
    }
  }, TAIL_MS);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tail]")) tailing = event.target.checked;
  });

  // --- drawer
  const openDrawer = () => {
    drawer.hidden = false;
    document.body.classList.add("drawn");
    drawer.focus();
  };
  const closeDrawer = () => {
    if (!drawer || drawer.hidden) return;
    drawer.hidden = true;
    drawer.replaceChildren();
    document.body.classList.remove("drawn");
    const link = opener && document.querySelector(`[data-drawer][href="${CSS.escape(opener)}"]`);
    if (link) link.focus();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-drawer]");
    if (link) opener = link.getAttribute("href");
    if (event.target.closest("[data-drawer-close]")) closeDrawer();
    else if (drawer && !drawer.hidden && !drawer.contains(event.target) && !link) closeDrawer();
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    reveal(document);
    if (event.detail.target === drawer) openDrawer();
    if (event.detail.target.id === "rows") {
      const rows = rowsNow();
      rests = rows.length > 1 && !rows.some((one) => known.has(one)) ? 1 : 0;
      known = new Set(rows);
    }
    const tail = document.querySelector("[data-tail]");
    if (tail) tail.checked = tailing;
  });
  // A tab keeps its focus where a row was swapped under it.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    if (event.detail.target.id === "rows" && focused) {
      requestAnimationFrame(() => {
        const again = document.querySelector(`#rows [href="${CSS.escape(focused)}"]`);
        if (again && document.activeElement === document.body) again.focus();
      });
    }
  });
  document.body.addEventListener("htmx:responseError", (event) => {
    if (event.detail.target !== drawer) return;
    const said = document.createElement("p");
    said.className = "note note-bad";
    said.textContent = `This could not be loaded (status ${event.detail.xhr.status}).`;
    drawer.replaceChildren(said);
    openDrawer();
  });

  // --- theme
  const themeSwitch = document.querySelector("[data-theme-switch]");
  if (themeSwitch) {
    themeSwitch.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("signalbox-theme", root.dataset.theme); } catch { /* it holds for this page */ }
    });
  }

  // --- forms that ask once more, and copy buttons
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });

  // --- playground: answers as they come, side by side
  const playground = document.querySelector("[data-playground]");
  const streamed = async (form, model, facts, said) => {
    const sent = new URLSearchParams(new FormData(form));
    sent.set("models", model);
    const answer = await fetch("/playground/stream", { method: "POST", body: sent });
    if (!answer.ok) { facts.textContent = `Not asked: status ${answer.status}.`; return; }
    const take = (line) => {
      if (!line) return;
      const piece = JSON.parse(line);
      if (piece.status) {
        const headers = piece.headers || {};
        facts.textContent = [piece.status, headers["x-signalbox-placement"], headers["x-signalbox-reason"]].filter(Boolean).join(" · ");
      }
      if (piece.text) said.append(piece.text);
      if (piece.end) {
        if (piece.error) said.append(`\n${piece.error}`);
        facts.append(` · first token ${piece.first_ms || 0} ms · ${piece.whole_ms || 0} ms · ${piece.tokens_in || 0} / ${piece.tokens_out || 0} tokens`);
      }
    };
    let rest = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.forEach(take);
    }
    take(rest);
  };
  if (playground) {
    playground.addEventListener("submit", (event) => {
      if (event.submitter && event.submitter.dataset.whole !== undefined) return;
      event.preventDefault();
      const panels = document.getElementById("answers");
      panels.replaceChildren();
      const models = [...new Set(playground.models.value.split(/[\s,]+/).filter(Boolean))].slice(0, 4);
      models.forEach((model) => {
        const panel = document.createElement("section");
        panel.className = "panel";
        const [title, facts, said] = ["h2", "p", "pre"].map((tag) => document.createElement(tag));
        title.textContent = model;
        facts.className = "quiet";
        facts.textContent = "asking…";
        said.className = "answer";
        panel.append(title, facts, said);
        panels.append(panel);
        streamed(playground, model, facts, said).catch(() => { facts.textContent = "The console did not answer."; });
      });
    });
  }

  // --- keys: / filters, Escape closes, g and a letter goes to a page
  let went = 0;
  const places = { o: "/", r: "/requests", w: "/workloads", d: "/deployments", s: "/spend", c: "/compliance", k: "/keys", a: "/alerts" };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { closeDrawer(); return; }
    if (event.key === "Tab" && drawer && !drawer.hidden) { keepInside(event); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (event.key === "/") {
      const first = document.querySelector(".filters select, .filters input:not([type=hidden])");
      if (first) { event.preventDefault(); first.focus(); }
    } else if (event.key === "g") {
      went = Date.now();
    } else if (Date.now() - went < 1500 && places[event.key]) {
      const link = document.querySelector(`.menu a[href="${places[event.key]}"]`);
      if (link) link.click();
      went = 0;
    } else if (event.key === "j" || event.key === "k") {
      const links = [...document.querySelectorAll("#rows tbody a[data-drawer]")];
      const at = links.indexOf(document.activeElement);
      const next = links[Math.max(0, Math.min(links.length - 1, at + (event.key === "j" ? 1 : -1)))];
      if (next) { event.preventDefault(); next.focus(); }
    }
  });
  const keepInside = (event) => {
    const all = [...drawer.querySelectorAll("a[href], button, input, select, [tabindex='0']")];
    if (!all.length) return;
    const [first, last] = [all[0], all[all.length - 1]];
    if (event.shiftKey && (document.activeElement === first || document.activeElement === drawer)) { event.preventDefault(); last.focus(); }
    else if (!event.shiftKey && document.activeElement === last) { event.preventDefault(); first.focus(); }
  };

  const here = document.querySelector(".menu [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });
  reveal(document);
})();
