/** Values pushed from callbacks, taken as an async sequence that ends after `end`, or throws what `fail` was given. */
export function queueOf<T>(): {
  push(value: T): void;
  fail(thrown: unknown): void;
  end(): void;
  items: AsyncIterable<T>;
} {
  const values: T[] = [];
  let ended = false;
  let failure: { thrown: unknown } | undefined;
  let wake: () => void = () => {};
  async function* items(): AsyncGenerator<T> {
    for (;;) {
      const [next] = values.splice(0, 1);
      if (next !== undefined) yield next;
      else if (failure) throw failure.thrown;
      else if (ended) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  return {
    push(value) {
      values.push(value);
      wake();
    },
    fail(thrown) {
      failure = { thrown };
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    items: items(),
  };
}
