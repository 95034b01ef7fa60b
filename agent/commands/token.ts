import { text } from 'node:stream/consumers';

/** The join token from stdin: never in argv or the environment, where others could read it. */
export async function tokenFromStdin(): Promise<string> {
  return (await text(process.stdin)).trim();
}
