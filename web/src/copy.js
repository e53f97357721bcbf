// Copies text, and says on the button that it did, or what of it.

const told = new WeakMap(); // by button, what stands on it for a moment: {target, label, says, timer}

// still says, once the text is copied, whether the button is still for that text.
export async function copy(button, text, said = 'Copied', still = () => true) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text); // the clipboard needs https or localhost
  }
  if (!still()) return;
  unsay(button);
  const target = button.querySelector('code') ?? button;
  const says = done ? said : 'Not copied';
  told.set(button, { target, label: target.textContent, says, timer: setTimeout(() => unsay(button), 1500) });
  target.textContent = says;
}

// unsay has a button say again what it is for. What was written on it meanwhile stays.
export function unsay(button) {
  if (!told.has(button)) return;
  const { target, label, says, timer } = told.get(button);
  clearTimeout(timer);
  told.delete(button);
  if (target.textContent === says) target.textContent = label;
}

function copyBySelection(text) {
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'sr-only' });
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
