// A queue with a fixed capacity, so that a long-lived simulator stays bounded. A full plain array would copy all its items on each
// `shift()`; this queue moves a head index and compacts now and then.

/** First in, first out; `push` returns the dropped item. `capacity` is a number of items, at least 1. */
export class Fifo<T> {
  #items: T[] = []
  #head = 0
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#items.length - this.#head
  }

  /** Appends; returns the oldest item when the queue was full, otherwise undefined. */
  push(item: T): T | undefined {
    this.#items.push(item)
    return this.size > this.#capacity ? this.shift() : undefined
  }

  /** Removes and returns the oldest item, or undefined when empty. */
  shift(): T | undefined {
    if (this.size === 0) return undefined
    const oldest = this.#items[this.#head]
    this.#head += 1
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return oldest
  }

  toArray(): T[] {
    return this.#items.slice(this.#head)
  }

  clear(): void {
    this.#items = []
    this.#head = 0
  }
}
