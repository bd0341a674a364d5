"""SQLAlchemy over `sqlalchemy-libsql`: schema, ORM, transactions, reflection."""

import pytest
from sqlalchemy import BigInteger, ForeignKey, String, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    large: Mapped[int | None] = mapped_column(BigInteger)
    # No LargeBinary: SQLAlchemy asks the driver for `Binary`, which this one does not have.
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(index=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


@pytest.fixture
def engine(url):
    engine = create_engine(url.replace("http://", "sqlite+libsql://", 1))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_objects_are_stored_and_found(engine):
    with Session(engine) as session:
        session.add(Author(name="Ü", books=[Book(title="one"), Book(title="two")]))
        session.add(Author(name="B"))
        session.commit()
    with Session(engine) as session:
        author = session.scalars(select(Author).where(Author.name == "Ü").options(selectinload(Author.books))).one()
        assert [book.title for book in author.books] == ["one", "two"]
        counted = select(Author.name, func.count(Book.id)).outerjoin(Book).group_by(Author.id).order_by(Author.id)
        assert session.execute(counted).all() == [("Ü", 2), ("B", 0)]


def test_objects_are_changed_and_deleted(engine):
    with Session(engine) as session:
        author = Author(name="A", books=[Book(title="one")])
        session.add(author)
        session.commit()
        author.name = "C"
        session.commit()
        assert session.scalar(select(Author.name)) == "C"
        session.delete(author)
        session.commit()
        assert session.scalar(select(func.count()).select_from(Book)) == 0


def test_a_rollback_undoes_everything(engine):
    with Session(engine) as session:
        session.add(Author(name="A"))
        session.flush()
        session.rollback()
        assert session.scalar(select(func.count()).select_from(Author)) == 0


def test_nested_transactions_are_savepoints(engine):
    with Session(engine) as session:
        session.add(Author(name="outer"))
        session.flush()
        nested = session.begin_nested()
        session.add(Author(name="inner"))
        session.flush()
        nested.rollback()
        session.commit()
        assert session.scalars(select(Author.name)).all() == ["outer"]


def test_many_rows_at_once(engine):
    with Session(engine) as session:
        session.add_all(Author(name=f"author {number}") for number in range(200))
        session.commit()
        assert session.scalar(select(func.count()).select_from(Author)) == 200


def test_the_schema_is_reflected(engine):
    inspector = inspect(engine)
    assert sorted(inspector.get_table_names()) == ["authors", "books"]
    assert [column["name"] for column in inspector.get_columns("books")] == ["id", "title", "author_id"]
    assert inspector.get_foreign_keys("books")[0]["referred_table"] == "authors"
    assert inspector.get_indexes("books")[0]["column_names"] == ["title"]
    assert inspector.get_pk_constraint("authors")["constrained_columns"] == ["id"]


def test_a_broken_constraint_is_an_error_and_the_session_goes_on(engine):
    with Session(engine) as session:
        session.add(Author(name="A"))
        session.commit()
        session.add(Author(name="A"))
        # The driver has no class of its own for it: it raises ValueError, which SQLAlchemy passes on.
        with pytest.raises((ValueError, DBAPIError), match="UNIQUE constraint failed: authors.name"):
            session.commit()
        session.rollback()
        assert session.scalar(select(func.count()).select_from(Author)) == 1


def test_plain_sql(engine):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO authors (name, large) VALUES ('L', 9223372036854775807)"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT large FROM authors")).scalar_one() == 2**63 - 1
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() in (0, 1)
