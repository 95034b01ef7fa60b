import type { Installation } from '../../shared/protocol/messages.ts';

/** What connected agents tell of their installation, for whoever waits for one of them. */
export class Installations {
  private readonly known = new Map<string, Installation>();
  private readonly ears = new Map<string, Set<() => void>>();

  /** Undefined: the node is not connected, or its agent tells nothing of it (an older one). */
  of(node: string): Installation | undefined {
    return this.known.get(node);
  }

  heard(node: string, installation: Installation): void {
    this.known.set(node, installation);
    this.tell(node);
  }

  left(node: string): void {
    this.known.delete(node);
    this.tell(node);
  }

  /** Something was heard of the node, or it has left: called at once and then each time, until it gives something. */
  async until<T>(
    node: string,
    look: (installation: Installation | undefined) => T | undefined,
    limits: { ms: number; signal: AbortSignal },
  ): Promise<T | undefined> {
    return new Promise((resolve) => {
      const ears = this.ears.get(node) ?? new Set();
      const end = (found: T | undefined): void => {
        ears.delete(ear);
        if (ears.size === 0) this.ears.delete(node);
        clearTimeout(late);
        limits.signal.removeEventListener('abort', stop);
        resolve(found);
      };
      const ear = (): void => {
        const found = look(this.known.get(node));
        if (found !== undefined) end(found);
      };
      const stop = (): void => end(undefined);
      const late = setTimeout(stop, limits.ms);
      limits.signal.addEventListener('abort', stop, { once: true });
      this.ears.set(node, ears.add(ear));
      if (limits.signal.aborted) stop();
      else ear();
    });
  }

  private tell(node: string): void {
    for (const ear of [...(this.ears.get(node) ?? [])]) ear();
  }
}
