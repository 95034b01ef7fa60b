/** Values pushed from callbacks, taken as an async sequence that ends after `end`. */
export function queueOf<T>(): { push(value: T): void; end(): void; items: AsyncIterable<T> } {
  const values: T[] = [];
  let ended = false;
  let wake: () => void = () => {};
  async function* items(): AsyncGenerator<T> {
    for (;;) {
      const [next] = values.splice(0, 1);
      if (next !== undefined) yield next;
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
    end() {
      ended = true;
      wake();
    },
    items: items(),
  };
}
