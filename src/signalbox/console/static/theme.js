// The theme a person chose last, before anything is painted.
"use strict";
try {
  const chosen = localStorage.getItem("signalbox-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* storage may be closed to us; then the system's choice holds */ }
document.documentElement.classList.add("scripted");
