// What moves on the page without asking the server: flickers, the divider between before and now, links to copy.
// Runs once, when the page has loaded; pictures may come and go, so every look is a fresh one.
() => {
  const FRAME_MS = 700;
  const OURS = ["model", "sample", "target", "how", "method", "attr"]; // what front/links.py writes
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
      look(flicker, "slide", false);
      flicker.dataset.play = "no";
      flicker.dataset.frame = still.dataset.show;
    } else if (flicker && event.target.closest(".sx-toggle")) {
      look(flicker, "slide", false);
      flicker.dataset.play = moves(flicker) ? "no" : "yes";
    } else if (flicker && event.target.closest(".sx-slide")) {
      look(flicker, "slide", !("slide" in flicker.dataset));
    } else if (flicker && event.target.closest(".sx-zoom")) {
      look(flicker, "zoom", !("zoom" in flicker.dataset));
    } else if (event.target.closest(".sx-open")) {
      open(flicker);
    }
  });

  // A way of looking at one flicker: a divider between before and after, or twice as large around the change.
  const look = (flicker, how, on) => {
    if (on) flicker.dataset[how] = ""; else delete flicker.dataset[how];
    flicker.querySelector(`.sx-${how}`)?.setAttribute("aria-pressed", on);
  };

  // One of them is shown large, and stays in sight.
  const open = (flicker) => {
    for (const other of flicker.parentElement.querySelectorAll("[data-open]")) delete other.dataset.open;
    flicker.dataset.open = "";
    flicker.querySelector(".sx-toggle").focus({ preventScroll: true });
    flicker.scrollIntoView({ block: "nearest" });
  };

  // A table sorts by the column whose head is pressed, the largest first, then the smallest; empty cells stay last.
  document.addEventListener("click", (event) => {
    const head = event.target.closest(".sx-sort")?.closest("th");
    if (!head) return;
    const column = head.cellIndex;
    const falls = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const order = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b) * (falls ? -1 : 1);
    const rows = [...body.rows];
    const full = rows.filter((row) => value(row) !== "").sort((a, b) => order(value(a), value(b)));
    body.append(...full, ...rows.filter((row) => value(row) === ""));
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
    // What else stands in the address, such as ?__theme=dark, stays there.
    const address = new URL(link.href);
    for (const [key, value] of new URLSearchParams(window.location.search)) {
      if (!OURS.includes(key)) address.searchParams.append(key, value);
    }
    window.history.replaceState(null, "", address);
    try {
      await navigator.clipboard.writeText(address.href);
      const says = link.textContent;
      link.textContent = "Copied";
      window.setTimeout(() => { link.textContent = says; }, 2000);
    } catch { // a page that may not touch the clipboard, such as a frame in another's: it is shown, to be copied by hand
      const shown = document.createElement("input");
      Object.assign(shown, { value: address.href, readOnly: true, className: "sx-address" });
      shown.setAttribute("aria-label", "The link, to be copied");
      shown.addEventListener("blur", () => shown.replaceWith(link));
      link.replaceWith(shown);
      shown.select();
    }
  });
}
