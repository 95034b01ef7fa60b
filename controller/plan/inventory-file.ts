import type { ErrorReport } from '../../shared/errors.ts';
import type { Json } from '../../shared/share.ts';
import { withCsvHosts } from './csv-hosts.ts';
import { type DocMap, type DocNode, nodeAt, toJson } from './document.ts';
import { inventoryAsWritten, readInventory } from './inventory.ts';
import { Library } from './library.ts';
import { beside } from './paths.ts';
import { Problems } from './problems.ts';
import { InventoryDocument } from './schema.ts';
import type { Inventory, Sources } from './types.ts';

/** An inventory by itself, and as a document in which every host is written out: no ranges, no table. */
export interface InventoryFile {
  inventory: Inventory;
  written: Json;
}

/** The inventory of a plan, of an inventory file, or of a table of hosts (`.csv`); or everything that is wrong with it. */
export function parseInventory(sources: Sources): InventoryFile | { problems: ErrorReport[] } {
  const problems = new Problems();
  const library = new Library(sources, problems);
  const document = documentOf(sources, library);
  if (!document) return { problems: problems.sorted() };
  const written = inventoryAsWritten(document, library);
  const { inventory } = readInventory(document, InventoryDocument, library);
  return problems.count > 0 ? { problems: problems.sorted() } : { inventory, written: toJson(written) };
}

function documentOf({ plan: file }: Sources, library: Library): DocNode | undefined {
  if (file.endsWith('.csv')) {
    const root: DocMap = { kind: 'map', at: { file, line: 1, column: 1 }, size: 1, entries: new Map() };
    return withCsvHosts(root, file, library.text(file) ?? '', library.problems);
  }
  const root = library.document(file);
  const inner = nodeAt(root, ['spec', 'inventory']);
  if (!inner) return root;
  const reference = nodeAt(inner, ['file']);
  if (reference?.kind !== 'scalar' || typeof reference.value !== 'string') return inner;
  const path = beside(file, reference.value);
  if (!library.has(path)) {
    const remedy = 'Correct the path: it is relative to the plan file.';
    library.problems.add('PLAN_MISSING', reference.at, `The inventory file ${path} is not there.`, remedy);
  }
  return library.document(path);
}
