// Runs once when the page is there, with `element` (the step's HTML) and `trigger` (tells Python). A chosen file goes there as
// text in the request; nothing is stored on the way.
const field = element.querySelector("input[type=file]");
const zone = element.querySelector(".occ-drop");
const aligned = element.querySelector("input[name=aligned]");
const chosen = element.querySelector(".occ-chosen");
const most = Number(zone.dataset.megabytes);
let last = null;

function send(what, name) {
  last = [what, name];
  chosen.textContent = name;
  trigger("upload", { ...what, aligned: aligned.checked });
}

function open(file) {
  if (!file) return;
  if (file.size > most * 1e6) return send({ bytes: file.size }, file.name);
  const reader = new FileReader();
  reader.onload = () => send({ picture: reader.result }, file.name);
  reader.onerror = () => send({ picture: "" }, file.name);
  reader.readAsDataURL(file);
}

field.addEventListener("change", () => {
  open(field.files[0]);
  field.value = ""; // the same file may be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  zone.addEventListener(kind, (event) => {
    event.preventDefault();
    zone.classList.toggle("occ-over", kind === "dragover");
    if (kind === "drop") open(event.dataTransfer.files[0]);
  });
}
for (const button of element.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => send({ example: Number(button.dataset.example) }, button.title));
}
aligned.addEventListener("change", () => last && send(...last));
