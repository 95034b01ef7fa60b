import { KkError } from '../../shared/errors.ts';
import type { IdentityLedger, NodeIdentity } from '../pki/ports.ts';
import type { Database } from './database.ts';

export interface Identities extends IdentityLedger {
  all(): NodeIdentity[];
  /** Forgets the identity if it still is this one: no certificate of it opens anything, and the name is free. */
  remove(known: NodeIdentity): Promise<boolean>;
}

/** The ledger of issued identities: read from memory at every handshake, written through. */
export async function openIdentities(database: Database): Promise<Identities> {
  const known = new Map<string, NodeIdentity>();
  for (const row of await database.select('SELECT name, body FROM identities')) {
    known.set(String(row['name']), JSON.parse(String(row['body'])) as NodeIdentity);
  }
  return {
    node: (name) => known.get(name),
    all: () => [...known.values()],
    async remove(identity) {
      const body = JSON.stringify(identity);
      if (JSON.stringify(known.get(identity.name)) !== body) return false;
      const sql = 'DELETE FROM identities WHERE name = ? AND body = ?';
      const { changes } = await database.transact([{ sql, values: [identity.name, body] }]);
      if (changes[0] !== 1) return false;
      known.delete(identity.name);
      return true;
    },
    async replace(previous, next) {
      const before = previous && JSON.stringify(previous);
      const held = known.get(next.name);
      if (JSON.stringify(held) !== before) return false;
      const body = JSON.stringify(next);
      try {
        await database.transact([
          before === undefined
            ? {
                sql: 'INSERT INTO identities (name, body) VALUES (?, ?) ON CONFLICT DO NOTHING',
                values: [next.name, body],
                expectChanges: 1,
              }
            : {
                sql: 'UPDATE identities SET body = ? WHERE name = ? AND body = ?',
                values: [body, next.name, before],
                expectChanges: 1,
              },
        ]);
      } catch (thrown) {
        if (thrown instanceof KkError && thrown.code === 'STATE_CONFLICT') return false;
        throw thrown;
      }
      known.set(next.name, next);
      return true;
    },
  };
}
