// Runs once when the page is there, with `element`, `props` (props.value: the crop to paint on, a data URL) and `watch`.
// Paint lives on a canvas above the crop; `window.occfacePaint()` gives it as a black-and-white PNG of the crop's 128 px.
const canvas = element.querySelector("canvas");
const picture = element.querySelector("img");
const width = element.querySelector("input[type=range]");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const CROP = 128;
const scale = canvas.width / CROP;
const GREY = "#808080"; // what hidden pixels usually become
let undo = [];
let from = null; // where the stroke or rectangle began

const tool = () => element.querySelector("input[name=occ-tool]:checked").value;

function show() {
  const empty = !props.value;
  element.querySelector(".occ-canvas").classList.toggle("occ-empty", empty);
  if (!empty) picture.src = props.value;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  undo = [];
}

function keep() {
  undo.push(pen.getImageData(0, 0, canvas.width, canvas.height));
  if (undo.length > 20) undo.shift();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

function draw(to) {
  pen.globalCompositeOperation = tool() === "eraser" ? "destination-out" : "source-over";
  pen.fillStyle = pen.strokeStyle = GREY;
  if (tool() === "rectangle") {
    pen.putImageData(undo[undo.length - 1], 0, 0);
    pen.fillRect(Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
    return;
  }
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = Number(width.value) * scale;
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  from = to;
}

canvas.addEventListener("pointerdown", (event) => {
  if (!props.value || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  keep();
  from = place(event);
  draw(from);
});
canvas.addEventListener("pointermove", (event) => from && draw(place(event)));
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (from = null));

for (const button of element.querySelectorAll("[data-box]")) {
  button.addEventListener("click", () => {
    const [x0, y0, x1, y1] = button.dataset.box.split(",").map((edge) => Number(edge) * scale);
    keep();
    pen.globalCompositeOperation = "source-over";
    pen.fillStyle = GREY;
    pen.fillRect(x0, y0, x1 - x0, y1 - y0);
  });
}
element.querySelector("[data-do=undo]").addEventListener("click", () => undo.length && pen.putImageData(undo.pop(), 0, 0));
element.querySelector("[data-do=clear]").addEventListener("click", () => {
  keep();
  pen.clearRect(0, 0, canvas.width, canvas.height);
});

window.occfacePaint = () => {
  const small = document.createElement("canvas");
  small.width = small.height = CROP;
  const ink = small.getContext("2d");
  ink.imageSmoothingQuality = "high";
  ink.drawImage(canvas, 0, 0, CROP, CROP);
  ink.globalCompositeOperation = "source-in";
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, CROP, CROP);
  ink.globalCompositeOperation = "destination-over";
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, CROP, CROP);
  return small.toDataURL("image/png");
};
watch("value", show);
show();
