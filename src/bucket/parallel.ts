// Does something to everything that comes, several at a time, and hands the results out in the order in which it came.

/** At most `limit` calls run at a time, and as many results wait. The first error ends it; what runs then is let go. */
export async function* mapParallel<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  for await (const item of source) {
    const result = work(item);
    // Its turn to be looked at comes later; until then an error is nobody's.
    result.catch(() => {});
    running.push(result);
    if (running.length >= limit) yield await running.shift()!;
  }
  while (running.length > 0) yield await running.shift()!;
}
