// One clock moves all the flickers, so that they change together and never faster than three times a second.
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
}
