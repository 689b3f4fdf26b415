import { describe, expect, test } from 'vitest'
import { readListedPage } from '../../src/stores/s3-list-page.ts'

const item = (key: string, more = '') => `<Contents><Key>${key}</Key><LastModified>2026-11-21T02:36:15.123Z</LastModified><ETag>&quot;d41d8&quot;</ETag><Size>12</Size>${more}<StorageClass>STANDARD</StorageClass></Contents>`
const page = (contents: string) => `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name>${contents}<IsTruncated>false</IsTruncated></ListBucketResult>`
const read = (text: string) => readListedPage(Buffer.from(text))

describe('a page of a listing', () => {
  test('gives its objects, and leaves the rest of the page', () => {
    const listed = read(page(item('a/b') + item('ä\u{1f600}', '<Owner><ID>me</ID></Owner>')))
    const object = { sizeBytes: 12, modifiedAt: new Date('2026-11-21T02:36:15.123Z') }
    expect(listed?.objects).toEqual([{ key: 'a/b', ...object }, { key: 'ä\u{1f600}', ...object }])
    expect(listed?.rest.toString()).toBe(page(''))
  })

  test.each([['an empty page', page('')], ['an error', '<Error><Code>NoSuchBucket</Code></Error>'], ['nothing', ''], ['a web page', '<html></html>']])('is left as it is without objects: %s', (_, text) => {
    expect(read(text)).toMatchObject({ objects: [] })
    expect(read(text)?.rest.toString()).toBe(text)
  })

  test.each([
    ['an entity in a key', item('a&amp;b')],
    ['a key in CDATA', item('<![CDATA[a]]>')],
    ['a key that is no UTF-8', item('x').replace('x', '\ufffd')],
    ['two keys', item('a', '<Key>b</Key>')],
    ['no key', item('a').replace('<Key>a</Key>', '')],
    ['no size', item('a').replace('<Size>12</Size>', '')],
    ['a size that is no number', item('a').replace('12', '1e3')],
    ['a time that is none', item('a').replace('11-21', '21-41')],
    ['another kind of time', item('a').replace('2026-11-21T02:36:15.123Z', 'Sat, 21 Nov 2026 02:36:15 GMT')],
    ['an element that does not end', item('a').replace('</Contents>', '')],
  ])('is left to a parser of all XML when there is %s in it', (_, contents) => {
    expect(read(page(item('first') + contents))).toBeUndefined()
  })
})
