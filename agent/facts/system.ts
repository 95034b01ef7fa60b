import type { Facts } from '../../shared/facts.ts';

/** What DMI, the kernel's log and the disks tell about the hardware; undefined when they tell nothing. */
export async function gatherSystem(): Promise<Facts['system']> {
  // Loaded on demand: it is large, and facts are taken once per run.
  const { system } = await import('systeminformation');
  const found = await system();
  // `Computer` is the library's word for a model that nobody states.
  const model = found.model === 'Computer' ? '' : found.model;
  if (found.manufacturer === '' && model === '' && !found.virtual) return undefined;
  return { vendor: found.manufacturer, model, virtual: found.virtual };
}
