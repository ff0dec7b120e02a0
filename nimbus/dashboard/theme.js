// The theme, before anything is drawn: `auto` follows the system.
(() => {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("squall-theme") ?? "auto";
  } catch {
    // A browser may refuse to remember; then it is asked for anew.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
