import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/** What Kubernetes has taken out: name -> the last minor version that knows it, such as "1.25". */
export interface Removals {
  feature_gates: Record<string, string>;
  /** By component. */
  flags: Record<'apiserver' | 'controller_manager' | 'scheduler' | 'kubelet', Record<string, string>>;
  admission_plugins: Record<string, string>;
}

/** As `controller/playbooks/removals.yaml` has it. */
export const REMOVALS = parse(
  readFileSync(fileURLToPath(new URL('../playbooks/removals.yaml', import.meta.url)), 'utf8'),
) as Removals;
