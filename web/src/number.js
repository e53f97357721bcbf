// A number of a payload for people. Rows have theirs from the server, which writes them by
// the same rule (formatNumber in text.go): one number reads alike wherever it stands.
//
// The rule: six digits that count, and of what is behind the point at least two, without
// zeros at the end. The whole part is whole, with commas from 10,000 on. From 1e15 on and
// below 0.0001, six digits and an exponent. Half a digit goes to the even one.

const LARGE = 1e15;
const SMALL = 1e-4;
export const PLACES = 9; // the most that a number behind the point has without an exponent

// number writes a value by the rule.
export function number(value) {
  return hasExponent(value) ? withExponent(value) : fixed(value, places(value)).replace(/\.?0+$/, '');
}

// aligned writes a value with so many digits behind the point as others have beside it,
// but no more than it has itself, and with commas where the others have some.
export function aligned(value, digits, grouped = false) {
  const fine = digits >= 4; // else what is SMALL rounds to nothing in the row, too
  if (Math.abs(value) >= LARGE || (fine && Math.abs(value) < SMALL)) return number(value);
  return fixed(value, Math.min(digits, places(value)), grouped);
}

const hasExponent = (value) => Math.abs(value) >= LARGE || (Math.abs(value) < SMALL && value !== 0);

// places is how many digits a number has behind the point, with zeros at the end.
const places = (value) => Math.max(2, 5 - (value ? Number(value.toExponential(5).split('e')[1]) : 0));

function fixed(value, digits, grouped = false) {
  const long = value.toFixed(digits + 1);
  // toFixed rounds half a digit up. Only what is half a digit in binary, too, is one.
  const half = Number.isInteger(value * 2 ** (digits + 1)) && /[02468]\.?5$/.test(long);
  const text = half ? long.slice(0, -1).replace(/\.$/, '') : value.toFixed(digits);
  const [whole] = /\d+/.exec(text);
  const shown = whole.length > (grouped ? 3 : 4) ? text.replace(whole, whole.replace(/\B(?=(\d{3})+$)/g, ',')) : text;
  return /[1-9]/.test(shown) ? shown : shown.replace('-', ''); // there is no -0
}

function withExponent(value) {
  const long = value.toExponential(6);
  const half = Number.isInteger(value) && Number(long) === value && /[02468]5e/.test(long);
  const [digits, exponent] = (half ? long.replace('5e', 'e') : value.toExponential(5)).split('e');
  return `${digits.replace(/\.?0+$/, '')}e${exponent}`;
}
