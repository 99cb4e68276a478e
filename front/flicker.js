// What moves on the page without asking the server: flickers, the divider between before and now, links to copy.
// Runs once, when the page has loaded; pictures may come and go, so every look is a fresh one.
() => {
  const FRAME_MS = 700;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const page = document.body.dataset;
  const flickers = () => document.querySelectorAll(".sx-flicker");
  const moves = (flicker) => (flicker.dataset.play ?? (page.flicker === "playing" ? "yes" : "no")) === "yes";

  const follow = () => { page.flicker = calm.matches ? "paused" : "playing"; };
  follow();
  calm.addEventListener("change", follow);

  // One clock moves all the flickers, so that they change together and never faster than three times a second.
  let frame = "before";
  window.setInterval(() => {
    frame = frame === "before" ? "after" : "before";
    for (const flicker of flickers()) if (moves(flicker)) flicker.dataset.frame = frame;
  }, FRAME_MS);

  document.addEventListener("click", (event) => {
    if (event.target.closest(".sx-toggle-all")) {
      page.flicker = page.flicker === "playing" ? "paused" : "playing";
      for (const flicker of flickers()) delete flicker.dataset.play;
      return;
    }
    const flicker = event.target.closest(".sx-flicker");
    const still = event.target.closest("[data-show]");
    if (flicker && still) {
      flicker.dataset.play = "no";
      flicker.dataset.frame = still.dataset.show;
    } else if (flicker && event.target.closest(".sx-toggle")) {
      flicker.dataset.play = moves(flicker) ? "no" : "yes";
    }
  });

  // The divider stays where it was put when a knob brings new pictures, and a linked attribute comes into sight.
  let at = 50;
  const arrange = () => {
    for (const split of document.querySelectorAll(".sx-split")) {
      split.value = at;
      split.parentElement.style.setProperty("--sx-at", `${at}%`);
    }
    const linked = document.querySelector("[data-linked=yes]");
    if (linked) {
      linked.dataset.linked = "seen";
      linked.scrollIntoView({ block: "center" });
    }
  };
  document.addEventListener("input", (event) => {
    if (!event.target.matches(".sx-split")) return;
    at = event.target.value;
    arrange();
  });
  new MutationObserver(arrange).observe(document.body, { childList: true, subtree: true });

  // Gradio measures its tabs before their font is there, and hides on a phone what then seems too wide.
  document.fonts.ready.then(() => window.dispatchEvent(new Event("resize")));

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.sx-copy");
    if (!link) return;
    event.preventDefault();
    window.history.replaceState(null, "", link.href);
    const says = link.textContent;
    try {
      await navigator.clipboard.writeText(link.href);
      link.textContent = "Copied";
    } catch { // a page that may not touch the clipboard
      link.textContent = "In the address bar";
    }
    window.setTimeout(() => { link.textContent = says; }, 2000);
  });
}
