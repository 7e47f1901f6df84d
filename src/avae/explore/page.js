// A picture that is dropped or pasted anywhere on the page goes the way of the button "Choose a picture".
(() => {
  const hand_over = files => {
    const input = document.querySelector("#source input[type=file]");
    if (!input || !files.length) return;
    const one = new DataTransfer();
    one.items.add(files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  };
  const has_files = event => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let depth = 0;
  const mark = change => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", event => { if (has_files(event)) mark(1); });
  document.addEventListener("dragleave", event => { if (has_files(event)) mark(-1); });
  document.addEventListener("dragover", event => { if (has_files(event)) event.preventDefault(); });
  document.addEventListener("drop", event => {
    if (!has_files(event)) return;
    event.preventDefault();
    depth = 0;
    mark(0);
    hand_over(event.dataTransfer.files);
  });
  document.addEventListener("paste", event => hand_over(event.clipboardData.files));
})();
