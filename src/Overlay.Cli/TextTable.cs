namespace Overlay.Cli;

/// <summary>Rows under headings, columns aligned with two spaces between them.</summary>
internal sealed class TextTable(params TextTable.Column[] columns)
{
    private const string Indent = "  ";
    private const string Gap = "  ";

    private readonly List<string[]> _rows = [];

    /// <param name="Heading">Printed over the column.</param>
    /// <param name="IsNumber">Numbers stand to the right.</param>
    internal readonly record struct Column(string Heading, bool IsNumber);

    public static Column Text(string heading) => new(heading, false);

    public static Column Number(string heading) => new(heading, true);

    /// <param name="cells">One a column.</param>
    public void Add(params string[] cells)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(cells.Length, columns.Length);
        _rows.Add([.. cells.Select(Printable)]);
    }

    /// <summary>Names come from others: what moves the cursor of a terminal is not sent to it.</summary>
    private static string Printable(string cell) =>
        cell.Any(char.IsControl) ? string.Concat(cell.Select(letter => char.IsControl(letter) ? '\ufffd' : letter)) : cell;

    public void Write(TextWriter output)
    {
        string[] headings = [.. columns.Select(column => column.Heading)];
        int[] widths = [.. columns.Select((column, index) => _rows.Append(headings).Max(row => row[index].Length))];
        foreach (string[] row in _rows.Prepend(headings))
        {
            IEnumerable<string> cells = row.Select((cell, i) => columns[i].IsNumber ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]));
            output.WriteLine((Indent + string.Join(Gap, cells)).TrimEnd());
        }
    }
}
