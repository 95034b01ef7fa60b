/** The text of a stream, up to so many bytes; what comes after is left. */
export async function textWithin(stream: AsyncIterable<unknown>, limit: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    parts.push((chunk as Buffer).subarray(0, limit - size));
    size += (chunk as Buffer).length;
    if (size >= limit) break;
  }
  return Buffer.concat(parts).toString('utf8');
}
