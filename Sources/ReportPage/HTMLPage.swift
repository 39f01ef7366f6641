/// A report as one page that needs nothing else: the style is inside, for light and dark screens.
package struct HTMLPage {
    private let title: String
    private let content: String

    /// Creates a page.
    ///
    /// - Parameters:
    ///   - title: plain text for the browser's title bar.
    ///   - content: what the page shows, in HTML.
    package init(title: String, content: String) {
        self.title = title
        self.content = content
    }

    /// The whole document.
    package var text: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(HTMLText.escaped(title))</title>
        <style>
        \(PageStyle.sheet)
        </style>
        </head>
        <body><main>
        \(content)
        </main></body>
        </html>

        """
    }
}
