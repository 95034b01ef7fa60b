/**
 * Loaded before the controller (`node --expose-gc --import`): whenever its parent asks, it says how many bytes are still in
 * use once all garbage is gone. What is resident besides tells when V8 last felt like collecting.
 */
process.on('message', () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.(heapUsed + external);
});
process.channel?.unref();
