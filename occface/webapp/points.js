// Runs once when the page is there, with `element` and `trigger`: a chosen table of landmarks goes to Python as text.
const field = element.querySelector("input[type=file]");
const MOST = 100000; // characters; a table of 68 rows has some 1,000
field.addEventListener("change", async () => {
  const file = field.files[0];
  if (file) trigger("upload", { table: file.size > MOST ? "" : await file.text() });
  field.value = ""; // the same file may be chosen again
});
