// What a person says of attributes, kept in this browser until it is taken home. Runs inside of the gr.HTML that holds
// the sheet: `element` is that, `trigger` tells the server, `watch` when another sheet has come.
const kept = (sheet) => `stylex-review:${sheet}`;
let sheet = null;
let said = {}; // number of an attribute -> { name, ticks }

const forms = () => [...element.querySelectorAll("[data-attribute]")];
const field = (form) => form.querySelector("input[type=text]");
const boxes = (form) => [...form.querySelectorAll("input[type=checkbox]")];

const recall = (of) => {
  try {
    const found = JSON.parse(window.localStorage.getItem(kept(of)));
    const fits = ([, one]) => typeof one?.name === "string" && Array.isArray(one.ticks);
    return Object.fromEntries(Object.entries(found ?? {}).filter(fits));
  } catch { return {}; } // a page that may keep nothing, such as a frame in another's
};
const keep = () => {
  try { window.localStorage.setItem(kept(sheet), JSON.stringify(said)); } catch { /* then it ends with the page */ }
};
const count = () => {
  const number = Object.keys(said).length;
  const status = element.querySelector("[role=status]");
  if (status) status.textContent = number ? `You have said something of ${number} attribute${number > 1 ? "s" : ""}.` : "";
};
const fill = () => {
  for (const form of forms()) {
    const one = said[form.dataset.attribute];
    field(form).value = one ? one.name : field(form).defaultValue;
    for (const box of boxes(form)) box.checked = one ? one.ticks.includes(box.value) : box.defaultChecked;
  }
  count();
};
const open = () => {
  const of = element.querySelector("[data-review]")?.dataset.review;
  if (!of) return;
  if (of !== sheet) said = recall(of);
  sheet = of;
  fill();
};

element.addEventListener("input", (event) => {
  const form = event.target.closest("[data-attribute]");
  if (!form) return;
  const ticks = boxes(form).filter((box) => box.checked).map((box) => box.value);
  said[form.dataset.attribute] = { name: field(form).value, ticks };
  keep();
  count();
});
element.addEventListener("click", (event) => {
  if (event.target.closest("[data-review-save]")) {
    const all = Object.entries(said).map(([attribute, one]) => ({ attribute: Number(attribute), ...one }));
    trigger("save", { review: sheet, said: all });
  } else if (event.target.closest("[data-review-clear]")) {
    said = {};
    keep();
    fill();
  }
});
watch("value", open);
open();
