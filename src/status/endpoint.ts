// What a stranger may read of the store's address: the page and the badge stand on ComfyUI's port too, which may be
// public, and R2's hosts begin with the number of the account.

const ofR2 = String.raw`\.(?:[\w-]+\.)?r2\.cloudflarestorage\.com`;

/** `Cloudflare R2`, or the host of another store; what is no address stays as it is. */
export function storeName(endpoint: string): string {
  const host = URL.parse(endpoint)?.host ?? endpoint;
  return new RegExp(`${ofR2}(?::\\d+)?$`, 'i').test(host) ? 'Cloudflare R2' : host;
}

/** A text of ours, in which an error may name the endpoint, without the account's number. */
export function hideAccount(text: string): string {
  return text.replace(new RegExp(`[0-9a-f]{32}(?=${ofR2})`, 'gi'), '…');
}
