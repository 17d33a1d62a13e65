// The button beside a command.
(() => {
  const copy = document.getElementById("copy");
  copy?.addEventListener("click", async () => {
    const code = document.getElementById("command");
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      document.execCommand("copy");
    }
    copy.textContent = "copied";
    setTimeout(() => (copy.textContent = "copy"), 1500);
  });
})();
