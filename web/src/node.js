// Which of several nodes has this page's stream. That one alone knows how the
// page's events went, so what the page asks and reports says where it belongs: a
// proxy in front can send it there (e2e/stack/nginx does).

let name = '';

export function setNode(node) {
  name = node;
}

// at adds the node to an address of this server.
export const at = (address, node = name) => (node ? `${address}${address.includes('?') ? '&' : '?'}node=${encodeURIComponent(node)}` : address);
