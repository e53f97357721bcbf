// Copies text, and says on the button that it did, or what of it.

export async function copy(button, text, said = 'Copied') {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text); // the clipboard needs https or localhost
  }
  const target = button.querySelector('code') ?? button;
  const label = (button.dataset.label ??= target.textContent);
  target.textContent = done ? said : 'Not copied';
  setTimeout(() => {
    target.textContent = label;
    delete button.dataset.label;
  }, 1500);
}

function copyBySelection(text) {
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'sr-only' });
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
