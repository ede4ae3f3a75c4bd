// PgJDBC, by which DBeaver and most tools in Java connect, against the postgres door.
//
// Arguments: port, name, password. Prints one line for each thing that was seen to work.

import java.io.StringWriter;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;

public class Jdbc {
  static final String ENDLESS =
      "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 100000) b";

  static void saw(String what, boolean right) {
    if (!right) throw new AssertionError(what);
    System.out.println(what);
  }

  static List<Map<String, String>> rows(ResultSet result) throws SQLException {
    ResultSetMetaData meta = result.getMetaData();
    List<Map<String, String>> out = new ArrayList<>();
    while (result.next()) {
      Map<String, String> row = new HashMap<>();
      for (int i = 1; i <= meta.getColumnCount(); i++) {
        row.put(meta.getColumnLabel(i).toLowerCase(), result.getString(i));
      }
      out.add(row);
    }
    return out;
  }

  static String state(Statement statement, String sql) throws SQLException {
    try {
      statement.executeQuery(sql);
      return "";
    } catch (SQLException refused) {
      return refused.getSQLState();
    }
  }

  /** The tree of a database, as tools draw it. */
  static void looks(DatabaseMetaData meta) throws SQLException {
    saw("schemas", rows(meta.getSchemas()).stream().anyMatch(row -> "lake".equals(row.get("table_schem"))));
    Map<String, String> view = rows(meta.getTables(null, "public", "act%", new String[] {"VIEW"})).get(0);
    saw("views", view.get("table_name").equals("actions") && view.get("remarks").length() > 10);
    saw("tables", rows(meta.getTables(null, "lake", "%", new String[] {"TABLE"})).size() > 10);
    List<Map<String, String>> columns = rows(meta.getColumns(null, "public", "actions", "%"));
    Map<String, String> column = columns.get(1);
    saw("columns", column.get("column_name").equals("occurred") && column.get("type_name").equals("timestamptz"));
    saw("comments", column.get("remarks") != null && column.get("column_def") == null);
    Map<String, String> trace = rows(meta.getFunctions(null, "public", "trace")).get(0);
    saw("functions", trace.get("function_type").equals("2") && trace.get("remarks").length() > 10);
    List<Map<String, String>> takes = rows(meta.getFunctionColumns(null, "public", "in_network", "%"));
    saw("parameters", takes.size() == 3 && takes.get(1).get("column_name").equals("address"));
    saw("procedures", rows(meta.getProcedures(null, null, "%")).isEmpty());
    saw("keys", rows(meta.getPrimaryKeys(null, "public", "actions")).isEmpty()
        && rows(meta.getIndexInfo(null, "public", "actions", false, true)).isEmpty()
        && rows(meta.getImportedKeys(null, "public", "actions")).isEmpty());
    List<Map<String, String>> may = rows(meta.getTablePrivileges(null, "public", "actions"));
    saw("privileges", may.size() == 1 && may.get(0).get("privilege").equals("SELECT"));
    saw("types", rows(meta.getTypeInfo()).size() > 20);
  }

  /** Values there and back, in text and, once a statement was run some times, in binary form. */
  static void asks(Connection own) throws SQLException {
    PreparedStatement some = own.prepareStatement(
        "select event_id, occurred, agent_id, missing, provisional from actions"
            + " where agent_id is not null and occurred > ? and grade = any(?) order by occurred limit ?");
    for (int i = 0; i < 8; i++) {
      some.setTimestamp(1, Timestamp.from(Instant.parse("2026-01-01T00:00:00Z")));
      some.setArray(2, own.createArrayOf("text", new String[] {"sole", "exact", "a\"b,c"}));
      some.setInt(3, 2);
      ResultSet found = some.executeQuery();
      boolean is = found.next() && found.getString(1).length() == 36 && found.getLong(3) > 0
          && found.getObject(2, OffsetDateTime.class).getYear() == 2026
          && found.getArray(4) != null && !found.wasNull();
      if (i % 7 == 0) saw(i == 0 ? "parameters" : "binary", is);
    }
    PreparedStatement one = own.prepareStatement("select count(*) from actions where event_id = ?");
    one.setObject(1, UUID.fromString("5b000000-0000-4000-8000-000000001001"));
    saw("a guid", rows(one.executeQuery()).get(0).get("count").equals("0"));
    PreparedStatement none = own.prepareStatement("select count(*) > 0 as c from actions where (?::text is null or grade = ?)");
    none.setNull(1, Types.VARCHAR);
    none.setNull(2, Types.VARCHAR);
    saw("a null", rows(none.executeQuery()).get(0).get("c").equals("t"));
    PreparedStatement told = own.prepareStatement("select agent_id from actions where agent_id = ? and event_id = ?");
    saw("types of parameters", told.getParameterMetaData().getParameterTypeName(1).equals("int8")
        && told.getMetaData().getColumnTypeName(1).equals("int8"));
  }

  public static void main(String[] args) throws Exception {
    String url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/agentrail?ApplicationName=peer";
    Properties who = new Properties();
    who.setProperty("user", args[1]);
    who.setProperty("password", args[2]);
    Connection own = DriverManager.getConnection(url, who);
    looks(own.getMetaData());
    asks(own);
    saw("the connection", own.isValid(5) && own.getSchema().equals("public") && own.getCatalog().equals("agentrail"));
    own.setReadOnly(true);
    own.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    own.setClientInfo("ApplicationName", "other");
    Statement plain = own.createStatement();
    saw("settings", rows(plain.executeQuery("select current_setting('application_name') as name")).get(0).get("name").equals("other"));

    // A cursor: rows come fifty at a time.
    int all = Integer.parseInt(rows(plain.executeQuery("select count(*) from actions")).get(0).get("count"));
    own.setAutoCommit(false);
    Statement pieces = own.createStatement();
    pieces.setFetchSize(50);
    saw("a cursor", rows(pieces.executeQuery("select event_id from actions order by 1")).size() == all);
    own.rollback(own.setSavepoint("here"));
    own.commit();
    own.setAutoCommit(true);
    plain.setMaxRows(3);
    saw("at most so many rows", rows(plain.executeQuery("select event_id from actions")).size() == 3);
    plain.setMaxRows(0);

    // What goes on for ever is stopped, and the connection stays.
    plain.setQueryTimeout(1);
    saw("a timeout", state(plain, ENDLESS).equals("57014"));
    plain.setQueryTimeout(0);
    Thread stops = new Thread(() -> {
      try {
        Thread.sleep(500);
        plain.cancel();
      } catch (Exception error) {
        throw new AssertionError(error);
      }
    });
    stops.start();
    saw("cancel", state(plain, ENDLESS).equals("57014"));
    stops.join();
    saw("only reads", state(plain, "delete from actions").equals("25006"));
    StringWriter copied = new StringWriter();
    String copy = "copy (select event_id, grade from actions order by 1 limit 3) to stdout with (format csv, header)";
    long lines = own.unwrap(PGConnection.class).getCopyAPI().copyOut(copy, copied);
    saw("copy", lines == 3 && copied.toString().lines().count() == 4);
    own.close();

    // As poolers in between have it: values in the text of the statement.
    who.setProperty("preferQueryMode", "simple");
    Connection simple = DriverManager.getConnection(url, who);
    PreparedStatement quoted = simple.prepareStatement("select count(*) as c from actions where grade = ? or occurred < ?");
    quoted.setString(1, "so'le");
    quoted.setTimestamp(2, Timestamp.from(Instant.EPOCH));
    saw("simple", rows(quoted.executeQuery()).get(0).get("c").equals("0"));
    simple.close();
  }
}
