import { planJsonSchema } from '../../controller/plan/index.ts';

/** The JSON Schema of the files people write, for editors. */
export async function planSchema(): Promise<string> {
  return `${JSON.stringify(planJsonSchema(), null, 2)}\n`;
}
