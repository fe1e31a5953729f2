// Runs once when the page is there, with `element` and `trigger`: a press on a face of the gallery tells Python which.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-face]");
  if (button) trigger("select", { face: Number(button.dataset.face) });
});
