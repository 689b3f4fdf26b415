import type { StoredObject } from './object-store.ts'

/** The objects of a page of a listing (`ListBucketResult`), and what else it says. */
export interface ListedPage {
  objects: StoredObject[]
  /** The page without its `Contents`. */
  rest: Buffer
}

const open = Buffer.from('<Contents>')
const close = Buffer.from('</Contents>')
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/
const size = /^\d{1,15}$/

/**
 * Reads key, size and time of each object of a page. A parser of all XML takes longer for a page than the server does, and there is little
 * else in it. Undefined for a page in which anything is not exactly as servers write it (say a character as an entity): that is for a
 * parser of all XML.
 */
export function readListedPage(page: Buffer): ListedPage | undefined {
  const objects: StoredObject[] = []
  const rest: Buffer[] = []
  let at = 0
  for (let start = page.indexOf(open); start !== -1; start = page.indexOf(open, at)) {
    const end = page.indexOf(close, start)
    if (end === -1) return undefined
    const object = readObject(page.subarray(start + open.length, end))
    if (object === undefined) return undefined
    objects.push(object)
    rest.push(page.subarray(at, start))
    at = end + close.length
  }
  rest.push(page.subarray(at))
  return { objects, rest: Buffer.concat(rest) }
}

function readObject(element: Buffer): StoredObject | undefined {
  const key = textOf(element, 'Key')
  const sizeText = textOf(element, 'Size')
  const modified = textOf(element, 'LastModified')
  if (key === undefined || sizeText === undefined || modified === undefined || !size.test(sizeText) || !time.test(modified)) return undefined
  const modifiedAt = new Date(modified)
  return Number.isNaN(modifiedAt.getTime()) ? undefined : { key, sizeBytes: Number(sizeText), modifiedAt }
}

/** The text of the only element of that name; undefined where it is not plain, or could be another's. */
function textOf(element: Buffer, name: 'Key' | 'Size' | 'LastModified'): string | undefined {
  const tag = `<${name}>`
  const start = element.indexOf(tag)
  const end = element.indexOf(`</${name}>`, start)
  if (start === -1 || end === -1 || element.indexOf(tag, end) !== -1) return undefined
  const text = element.toString('utf8', start + tag.length, end)
  return /[<&\ufffd]/.test(text) ? undefined : text
}
