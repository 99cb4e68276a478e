// A place on a picture, painted with a pointer or with the keys, and asked about. Runs inside of the gr.HTML that holds
// the picture: `element` is that, `trigger` tells the server.
const SIDE = 16; // cells on each side, as front/place.py has them
const BRUSH = 1.5; // cells around the pointer
let painting = false;
let x = SIDE / 2;
let y = SIDE / 2;

const cells = () => [...element.querySelectorAll(".sx-cells i")];
const clear = () => { for (const cell of cells()) delete cell.dataset.on; };
const paint = () => {
  cells().forEach((cell, n) => {
    if (Math.hypot((n % SIDE) - x, Math.floor(n / SIDE) - y) <= BRUSH) cell.dataset.on = "";
  });
};
const ask = () => {
  const on = cells().flatMap((cell, n) => ("on" in cell.dataset ? [n] : []));
  if (on.length) trigger("ask", { cells: on });
};
const follow = (event) => {
  const box = element.querySelector(".sx-canvas").getBoundingClientRect();
  const cell = (at, start, size) => Math.min(SIDE - 1, Math.max(0, Math.floor(((at - start) / size) * SIDE)));
  x = cell(event.clientX, box.left, box.width);
  y = cell(event.clientY, box.top, box.height);
};

element.addEventListener("pointerdown", (event) => {
  const canvas = event.target.closest(".sx-canvas");
  if (!canvas) return;
  painting = true;
  canvas.setPointerCapture(event.pointerId);
  clear();
  follow(event);
  paint();
});
element.addEventListener("pointermove", (event) => {
  if (!painting) return;
  follow(event);
  paint();
});
element.addEventListener("pointerup", () => {
  if (painting) ask();
  painting = false;
});
element.addEventListener("keydown", (event) => {
  if (!event.target.matches(".sx-canvas")) return;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (steps) {
    x = Math.min(SIDE - 1, Math.max(0, x + steps[0]));
    y = Math.min(SIDE - 1, Math.max(0, y + steps[1]));
    if (!event.shiftKey) clear(); // with Shift the place grows
    paint();
  } else if (event.key === "Enter") {
    ask();
  } else {
    return;
  }
  event.preventDefault();
});
