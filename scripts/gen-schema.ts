/**
 * Writes docs/reference/plan.schema.json, the JSON Schema of the files people write, for editors. Run it after a change
 * to controller/plan/schema.ts or to the actions; a test fails until the file is current.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { planJsonSchema } from '../controller/plan/index.ts';

const folder = new URL('../docs/reference/', import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL('plan.schema.json', folder), `${JSON.stringify(planJsonSchema(), null, 2)}\n`);
