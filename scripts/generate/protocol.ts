import { readFile } from 'node:fs/promises';
import protobuf from 'protobufjs';

/** kk.proto as the JSON descriptor that the codec loads: the agent then needs no parser of .proto files. */
export async function protocolSchema(): Promise<string> {
  const source = await readFile(new URL('../../shared/protocol/kk.proto', import.meta.url), 'utf8');
  const { root } = protobuf.parse(source, { keepCase: true });
  root.resolveAll();
  return JSON.stringify(root.toJSON(), null, 2);
}
