/** The bytes of a path in metadata, decoded without the agent's code. */
export function percentDecode(text: string): Buffer {
  return Buffer.from(
    text.replace(/%([0-9A-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  );
}
